package audit

import "millrace/app/audit"

// paidOutside gives the provider's accounts what a person says was paid back by other means: the
// provider will never know of it.
func (p *pass) paidOutside() error {
	paid, err := rows[struct {
		OrderID string `db:"order_id"`
		Amount  int64  `db:"amount"`
	}](p.payments, `SELECT p.order_id, p.amount FROM dead_letters d JOIN payments p ON p.order_id = d.order_id
		WHERE d.handler = 'intent_refund' AND d.state = 'settled'`)
	if err != nil {
		return err
	}
	for _, r := range paid {
		if a, known := p.accounts[r.OrderID]; known {
			a.refunded += r.Amount
			p.accounts[r.OrderID] = a
		}
	}
	return nil
}

// untold gives the orders whose customer is not told because a person has said so.
func (p *pass) untold() (map[string]bool, error) {
	ids, err := rows[string](p.notifications, "SELECT order_id FROM dead_letters WHERE state = 'discarded' AND type = 'OrderCompleted'")
	told := map[string]bool{}
	for _, id := range ids {
		told[id] = true
	}
	return told, err
}

// sequences: what the inbox calls parked is kept with its bytes, an order is held for as long as
// something of it waits, and for no longer: else its messages would be parked for ever, or overtake.
func (p *pass) sequences(s *snapshot) error {
	const open = "d.state IN ('waiting', 'parked', 'redriving')"
	f := p.found.of(audit.InboxUnique)
	for what, query := range map[string]string{
		"is parked, and no message is kept for it": `SELECT i.message_id FROM inbox i WHERE i.outcome = 'parked' AND NOT EXISTS
			(SELECT 1 FROM dead_letters d WHERE d.consumer = i.consumer AND d.message_id = i.message_id AND ` + open + `)`,
		"is kept as parked, and the inbox does not say so": `SELECT d.message_id FROM dead_letters d WHERE d.state = 'parked' AND NOT EXISTS
			(SELECT 1 FROM inbox i WHERE i.consumer = d.consumer AND i.message_id = d.message_id AND i.outcome = 'parked')`,
		"is held, and nothing of it waits": `SELECT h.order_id FROM held_orders h WHERE NOT EXISTS
			(SELECT 1 FROM dead_letters d WHERE d.consumer = h.consumer AND d.order_id = h.order_id AND ` + open + `)`,
		"has something that waits, and is not held": `SELECT d.order_id FROM dead_letters d WHERE ` + open + ` AND d.order_id <> '' AND d.topic <> ''
			AND NOT EXISTS (SELECT 1 FROM held_orders h WHERE h.consumer = d.consumer AND h.order_id = d.order_id)`,
	} {
		offenders, err := rows[string](s, query)
		if err != nil {
			return err
		}
		for _, id := range offenders {
			f.broken(id, "it %s", what)
		}
	}
	return nil
}
