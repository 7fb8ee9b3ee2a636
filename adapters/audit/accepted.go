package audit

import "millrace/app/audit"

// accepted: whatever was promised or told about an order, the order is there, whole.
func (p *pass) accepted() error {
	f := p.found.of(audit.EveryAcceptedOrderExists)
	missing, err := rows[struct {
		OrderID string `db:"order_id"`
		What    string `db:"what"`
	}](p.ordering, `SELECT k.order_id, 'an Idempotency-Key was answered with it, and there is no such order' AS what
			FROM idempotency_keys k LEFT JOIN orders o ON o.id = k.order_id WHERE o.id IS NULL
		UNION ALL
		SELECT x.aggregate_id, 'OrderCreated is in the outbox, and there is no such order'
			FROM outbox x LEFT JOIN orders o ON o.id = x.aggregate_id WHERE x.event_type = 'OrderCreated' AND o.id IS NULL AND x.`+ours+`
		UNION ALL
		SELECT o.id, 'it is ' || o.status || ', and has no saga'
			FROM orders o LEFT JOIN sagas s ON s.order_id = o.id WHERE s.order_id IS NULL AND o.status <> 'PENDING'`)
	if err != nil {
		return err
	}
	for _, m := range missing {
		f.broken(m.OrderID, "%s", m.What)
	}
	torn, err := rows[struct {
		OrderID string `db:"id"`
		Total   int64  `db:"total"`
		Lines   int64  `db:"lines"`
	}](p.ordering, `WITH lines AS MATERIALIZED (
			SELECT order_id, CAST(sum(qty * price) AS BIGINT) AS total FROM order_items GROUP BY order_id)
		SELECT o.id, o.total, coalesce(l.total, 0) AS lines FROM orders o LEFT JOIN lines l ON l.order_id = o.id
			WHERE o.total <> coalesce(l.total, 0)`)
	if err != nil {
		return err
	}
	for _, t := range torn {
		f.broken(t.OrderID, "its total is %d, its lines add up to %d", t.Total, t.Lines)
	}
	return nil
}
