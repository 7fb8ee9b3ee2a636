package audit

import "millrace/app/audit"

// money: an order is charged once at most, at the provider, in the intents and in what was told.
// What each order's end says about its money is checked in orders.
func (p *pass) money() error {
	f := p.found.of(audit.OneCapturePerOrder)
	for orderID, a := range p.accounts {
		if a.captures > 1 {
			f.broken(orderID, "the provider captured it %d times, %d in all", a.captures, a.captured)
		}
	}
	twice, err := rows[struct {
		OrderID string `db:"order_id"`
		N       int    `db:"n"`
		What    string `db:"what"`
	}](p.payments, `SELECT order_id, count(*) AS n, 'intents to capture' AS what FROM intents
			WHERE kind = 'capture' GROUP BY order_id HAVING count(*) > 1
		UNION ALL
		SELECT aggregate_id, count(*), 'PaymentSucceeded messages' FROM outbox
			WHERE event_type = 'PaymentSucceeded' AND `+ours+` GROUP BY aggregate_id HAVING count(*) > 1`)
	if err != nil {
		return err
	}
	for _, w := range twice {
		f.broken(w.OrderID, "it has %d %s", w.N, w.What)
	}
	f.checked, err = p.payments.count("SELECT count(*) FROM payments")
	return err
}
