package audit

import "millrace/app/audit"

// told is every message of the named types that was written to an outbox, those included that
// Kafka will never take.
func told(types string) string {
	return `WITH told AS MATERIALIZED (
		SELECT aggregate_id, event_type FROM outbox WHERE event_type IN (` + types + `)
		UNION ALL
		SELECT aggregate_id, event_type FROM outbox_dead WHERE event_type IN (` + types + `)) `
}

// outboxOfOrdering: what the journal says was sent is in the outbox, and an order's end was told
// exactly once.
func (p *pass) outboxOfOrdering() error {
	f := p.found.of(audit.OutboxMatchesState)
	sent, err := p.ordering.count("SELECT count(*) FROM saga_journal WHERE sent <> '[]' AND at >= ?", p.outboxSince)
	if err != nil {
		return err
	}
	f.checked += sent
	if err := p.sent(f); err != nil {
		return err
	}
	if err := p.completed(f); err != nil {
		return err
	}
	asked, err := rows[struct {
		OrderID string `db:"id"`
		Missing string `db:"missing"`
	}](p.ordering, told("'OrderCancelRequested'")+`
		SELECT o.id, 'OrderCancelRequested' AS missing FROM orders o LEFT JOIN told t ON t.aggregate_id = o.id
			WHERE o.cancel_requested AND o.created_at >= ? AND t.aggregate_id IS NULL
		UNION ALL
		SELECT o.id, 'OrderCreated' FROM orders o JOIN order_timeline l ON l.order_id = o.id AND l.seq = 1
			LEFT JOIN outbox x ON x.id = l.event_id LEFT JOIN outbox_dead d ON d.id = l.event_id
			WHERE o.created_at >= ? AND x.id IS NULL AND d.id IS NULL`, p.outboxSince, p.outboxSince)
	if err != nil {
		return err
	}
	for _, a := range asked {
		f.broken(a.OrderID, "%s is not in the outbox", a.Missing)
	}
	return nil
}

// sent compares the journal with the outbox.
func (p *pass) sent(f *finding) error {
	lost, err := rows[struct {
		OrderID string `db:"order_id"`
		Seq     int    `db:"seq"`
		Type    string `db:"type"`
	}](p.ordering, `WITH sent AS MATERIALIZED (
			SELECT j.order_id, j.seq, e.value ->> 'id' AS id, e.value ->> 'type' AS type
			FROM saga_journal j, {each j.sent} WHERE j.sent <> '[]' AND j.at >= ?)
		SELECT s.order_id, s.seq, s.type FROM sent s
			LEFT JOIN outbox x ON x.id = s.id AND x.aggregate_id = s.order_id AND x.event_type = s.type
			LEFT JOIN outbox_dead d ON d.id = s.id
			WHERE x.id IS NULL AND d.id IS NULL`, p.outboxSince)
	if err != nil {
		return err
	}
	for _, l := range lost {
		f.broken(l.OrderID, "%s of journal entry %d is not in the outbox", l.Type, l.Seq)
	}
	return nil
}

// completed counts OrderCompleted, in the journal and in the outbox.
func (p *pass) completed(f *finding) error {
	type row struct {
		OrderID string `db:"order_id"`
		Status  string `db:"status"`
		N       int    `db:"n"`
		Told    string `db:"told"`
	}
	wrong, err := rows[row](p.ordering, `WITH ended AS MATERIALIZED (
			SELECT j.order_id, e.value -> 'data' ->> 'status' AS status FROM saga_journal j, {each j.sent}
			WHERE j.sent <> '[]' AND e.value ->> 'type' = 'OrderCompleted'),
		counted AS MATERIALIZED (SELECT order_id, count(*) AS n, min(status) AS told FROM ended GROUP BY order_id)
		SELECT o.id AS order_id, o.status, coalesce(c.n, 0) AS n, coalesce(c.told, '') AS told
			FROM orders o LEFT JOIN counted c ON c.order_id = o.id
			WHERE CASE WHEN o.status IN ('CONFIRMED', 'FAILED', 'CANCELLED')
				THEN coalesce(c.n, 0) <> 1 OR c.told <> o.status ELSE coalesce(c.n, 0) > 0 END`)
	if err != nil {
		return err
	}
	extra, err := rows[row](p.ordering, `SELECT x.aggregate_id AS order_id, coalesce(min(o.status), 'unknown') AS status,
			count(*) AS n, '' AS told
		FROM outbox x LEFT JOIN orders o ON o.id = x.aggregate_id WHERE x.event_type = 'OrderCompleted'
		GROUP BY x.aggregate_id
		HAVING count(*) > 1 OR coalesce(min(o.status), 'unknown') NOT IN ('CONFIRMED', 'FAILED', 'CANCELLED')`)
	if err != nil {
		return err
	}
	for _, w := range append(wrong, extra...) {
		if w.N == 1 && w.Told != "" {
			f.broken(w.OrderID, "the order is %s, OrderCompleted says %s", w.Status, w.Told)
		} else {
			f.broken(w.OrderID, "the order is %s, and OrderCompleted was sent %d times", w.Status, w.N)
		}
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
