package audit

import "millrace/app/audit"

// terminal: once an order has ended nothing moves it, and saga and order agree about the end.
func (p *pass) terminal() error {
	f := p.found.of(audit.TerminalAbsorbs)
	var err error
	f.checked, err = p.ordering.count("SELECT count(*) FROM sagas WHERE step IN ('confirmed', 'failed', 'cancelled')")
	if err != nil {
		return err
	}
	moved, err := rows[struct {
		OrderID string `db:"order_id"`
		Seq     int    `db:"seq"`
		Type    string `db:"type"`
	}](p.ordering, `SELECT order_id, seq, type FROM saga_journal WHERE (state_before <> state_after OR sent <> '[]')
		AND (state_before LIKE '%"step":"confirmed"%' OR state_before LIKE '%"step":"failed"%' OR state_before LIKE '%"step":"cancelled"%')`)
	if err != nil {
		return err
	}
	for _, m := range moved {
		f.broken(m.OrderID, "%s moved the saga after its end (journal %d)", m.Type, m.Seq)
	}
	apart, err := rows[struct {
		OrderID string `db:"order_id"`
		Status  string `db:"status"`
		Step    string `db:"step"`
	}](p.ordering, `SELECT s.order_id, o.status, s.step FROM sagas s JOIN orders o ON o.id = s.order_id
		WHERE upper(s.step) <> o.status
		AND (s.step IN ('confirmed', 'failed', 'cancelled') OR o.status IN ('CONFIRMED', 'FAILED', 'CANCELLED'))`)
	if err != nil {
		return err
	}
	for _, a := range apart {
		f.broken(a.OrderID, "the order is %s, its saga is %s", a.Status, a.Step)
	}
	running, err := rows[struct {
		OrderID string `db:"order_id"`
		Name    string `db:"name"`
	}](p.ordering, `SELECT t.order_id, t.name FROM saga_timers t JOIN sagas s ON s.order_id = t.order_id
		WHERE s.step IN ('confirmed', 'failed', 'cancelled')`)
	if err != nil {
		return err
	}
	for _, r := range running {
		f.broken(r.OrderID, "it has ended, and its %s timer still runs", r.Name)
	}
	return nil
}
