package audit

import "millrace/app/audit"

// ours leaves out the copies of dead letters and what is sent again: somebody else has told it.
const ours = "topic NOT LIKE '%.dlq' AND topic NOT LIKE '%.redrive'"

// told is every message of the named types that was written to an outbox, those included that
// Kafka will never take.
func told(types string) string {
	return `WITH told AS MATERIALIZED (
		SELECT aggregate_id, event_type FROM outbox WHERE ` + ours + ` AND event_type IN (` + types + `)
		UNION ALL
		SELECT aggregate_id, event_type FROM outbox_dead WHERE ` + ours + ` AND event_type IN (` + types + `)) `
}

// outboxOfOrdering: what began an order, what was asked of it, and how it ended is in the outbox.
// What its saga sent is checked in journals.
func (p *pass) outboxOfOrdering() error {
	f := p.found.of(audit.OutboxMatchesState)
	missing, err := rows[struct {
		OrderID string `db:"id"`
		Type    string `db:"type"`
	}](p.ordering, told("'OrderCancelRequested'")+`
		SELECT o.id, 'OrderCancelRequested' AS type FROM orders o LEFT JOIN told t ON t.aggregate_id = o.id
			WHERE o.cancel_requested AND o.created_at >= ? AND t.aggregate_id IS NULL
		UNION ALL
		SELECT o.id, 'OrderCreated' FROM orders o JOIN order_timeline l ON l.order_id = o.id AND l.seq = 1
			LEFT JOIN outbox x ON x.id = l.event_id LEFT JOIN outbox_dead d ON d.id = l.event_id
			WHERE o.created_at >= ? AND x.id IS NULL AND d.id IS NULL`, p.outboxSince, p.outboxSince)
	if err != nil {
		return err
	}
	for _, m := range missing {
		f.broken(m.OrderID, "%s is not in the outbox", m.Type)
	}
	extra, err := rows[struct {
		OrderID string `db:"order_id"`
		Status  string `db:"status"`
		N       int    `db:"n"`
	}](p.ordering, `SELECT x.aggregate_id AS order_id, coalesce(min(o.status), 'unknown') AS status, count(*) AS n
		FROM outbox x LEFT JOIN orders o ON o.id = x.aggregate_id WHERE x.event_type = 'OrderCompleted' AND x.`+ours+`
		GROUP BY x.aggregate_id
		HAVING count(*) > 1 OR coalesce(min(o.status), 'unknown') NOT IN ('CONFIRMED', 'FAILED', 'CANCELLED')`)
	if err != nil {
		return err
	}
	for _, e := range extra {
		f.broken(e.OrderID, "the order is %s, and OrderCompleted is in the outbox %d times", e.Status, e.N)
	}
	return nil
}

// outboxOfParticipants: whoever has come to a state has said so.
func (p *pass) outboxOfParticipants() error {
	const payments = "'PaymentSucceeded', 'PaymentFailed', 'PaymentRefunded'"
	const inventory = "'InventoryReserved', 'InventoryFailed', 'InventoryReleased'"
	if err := p.silent(p.payments, "payment", told(payments)+`SELECT p.order_id, p.state FROM payments p LEFT JOIN told t
		ON t.aggregate_id = p.order_id AND (
			p.state = 'captured' AND t.event_type = 'PaymentSucceeded'
			OR p.state = 'declined' AND t.event_type IN ('PaymentFailed', 'PaymentRefunded')
			OR p.state IN ('refunded', 'voided', 'barred') AND t.event_type = 'PaymentRefunded')
		WHERE p.created_at >= ? AND t.aggregate_id IS NULL
			AND p.state IN ('captured', 'declined', 'refunded', 'voided', 'barred')`); err != nil {
		return err
	}
	return p.silent(p.inventory, "reservation", told(inventory)+`SELECT r.order_id, r.state FROM reservations r LEFT JOIN told t
		ON t.aggregate_id = r.order_id AND (
			r.state = 'held' AND t.event_type = 'InventoryReserved'
			OR r.state = 'refused' AND t.event_type = 'InventoryFailed'
			OR r.state IN ('released', 'barred') AND t.event_type = 'InventoryReleased')
		WHERE r.created_at >= ? AND t.aggregate_id IS NULL`)
}

func (p *pass) silent(s *snapshot, what, query string) error {
	f := p.found.of(audit.OutboxMatchesState)
	found, err := rows[struct {
		OrderID string `db:"order_id"`
		State   string `db:"state"`
	}](s, query, p.outboxSince)
	if err != nil {
		return err
	}
	for _, r := range found {
		f.broken(r.OrderID, "its %s is %s, and no message in the outbox says so", what, r.State)
	}
	return nil
}
