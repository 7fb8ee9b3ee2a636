package audit

import "millrace/app/audit"

// terminal: saga and order agree about the end, and nothing is left that could move them. That
// nothing did is checked in journals.
func (p *pass) terminal() error {
	f := p.found.of(audit.TerminalAbsorbs)
	var err error
	f.checked, err = p.ordering.count("SELECT count(*) FROM sagas WHERE step IN ('confirmed', 'failed', 'cancelled')")
	if err != nil {
		return err
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
