package audit

import (
	"cmp"
	"database/sql"

	"millrace/app/audit"
	"millrace/app/messages"
)

// What the four databases say of one order.
type (
	ordered struct {
		id, user, status, reason, currency, items string
		total                                     int64
	}
	paid struct {
		orderID, state, currency string
		amount                   int64
	}
	reserved struct {
		orderID, state, lines string
	}
	notified struct {
		orderID, user, status, reason, currency string
		total                                   int64
		sent                                    bool
		intent                                  sql.NullString
	}
)

func (o *ordered) ended() bool { return messages.Ended(o.status) }

// orders walks through all orders and, beside them, through what payment, inventory, notification
// and the provider say of each. Everything found here is a suspect: it compares databases.
func (p *pass) orders() error {
	excused, err := p.underWay()
	if err != nil {
		return err
	}
	untold, err := p.untold()
	if err != nil {
		return err
	}
	orders, err := walk(p.ordering, func(r *sql.Rows, o *ordered) error {
		return r.Scan(&o.id, &o.user, &o.status, &o.reason, &o.currency, &o.total, &o.items)
	}, func(o *ordered) string { return o.id },
		`SELECT o.id, o.user_id, o.status, o.reason, o.currency, o.total,
			(SELECT coalesce(string_agg(i.sku || ':' || CAST(i.qty AS TEXT), ','), '') FROM order_items i WHERE i.order_id = o.id)
		FROM orders o ORDER BY o.id {bytewise}`)
	if err != nil {
		return err
	}
	defer orders.close()
	payments, err := walk(p.payments, func(r *sql.Rows, v *paid) error {
		return r.Scan(&v.orderID, &v.state, &v.amount, &v.currency)
	}, func(v *paid) string { return v.orderID },
		"SELECT order_id, state, amount, currency FROM payments ORDER BY order_id {bytewise}")
	if err != nil {
		return err
	}
	defer payments.close()
	reservations, err := walk(p.inventory, func(r *sql.Rows, v *reserved) error {
		return r.Scan(&v.orderID, &v.state, &v.lines)
	}, func(v *reserved) string { return v.orderID },
		"SELECT order_id, state, lines FROM reservations ORDER BY order_id {bytewise}")
	if err != nil {
		return err
	}
	defer reservations.close()
	notices, err := walk(p.notifications, func(r *sql.Rows, v *notified) error {
		return r.Scan(&v.orderID, &v.user, &v.status, &v.total, &v.currency, &v.reason, &v.sent, &v.intent)
	}, func(v *notified) string { return v.orderID },
		`SELECT n.order_id, n.user_id, n.status, n.total, n.currency, n.reason, n.sent_at IS NOT NULL, i.state
		FROM notices n LEFT JOIN intents i ON i.order_id = n.order_id AND i.id = n.order_id || ':mail'
		ORDER BY n.order_id {bytewise}`)
	if err != nil {
		return err
	}
	defer notices.close()

	for orders.valid {
		o := orders.row
		payment, err := payments.take(o.id, p.orphan("payment"))
		if err != nil {
			return err
		}
		reservation, err := reservations.take(o.id, p.orphan("reservation"))
		if err != nil {
			return err
		}
		notice, err := notices.take(o.id, p.orphan("notice"))
		if err != nil {
			return err
		}
		p.tally(&o)
		p.moneyOf(&o, payment)
		p.stockOf(&o, reservation)
		p.mailOf(&o, notice, excused[o.id] && !p.settled || untold[o.id])
		if err := orders.next(); err != nil {
			return err
		}
	}
	for orderID, a := range p.accounts { // moneyOf has taken those that belong to an order
		p.found.of(audit.MoneyConserved).suspect(orderID, "the provider captured %d %s, and there is no such order", a.captured, a.currency)
	}
	return cmp.Or(payments.rest(p.orphan("payment")), reservations.rest(p.orphan("reservation")), notices.rest(p.orphan("notice")))
}

// underWay gives the orders whose OrderCompleted has not left, or waits for a person.
func (p *pass) underWay() (map[string]bool, error) {
	excused := map[string]bool{}
	for query, s := range map[string]*snapshot{
		"SELECT aggregate_id FROM outbox WHERE published_at IS NULL AND event_type = 'OrderCompleted'": p.ordering,
		"SELECT aggregate_id FROM outbox_dead WHERE event_type = 'OrderCompleted'":                     p.ordering,
		"SELECT order_id FROM dead_letters WHERE state IN ('waiting', 'parked', 'redriving')":          p.notifications,
	} {
		ids, err := rows[string](s, query)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			excused[id] = true
		}
	}
	return excused, nil
}

func (p *pass) orphan(what string) func(string) {
	return func(orderID string) {
		p.found.of(audit.EveryAcceptedOrderExists).suspect(orderID, "it has a %s, and there is no such order", what)
	}
}

func (p *pass) tally(o *ordered) {
	p.found.of(audit.EveryAcceptedOrderExists).checked++
	p.found.orders.Total++
	switch o.status {
	case "CONFIRMED":
		p.found.orders.Confirmed++
	case "FAILED":
		p.found.orders.Failed++
	case "CANCELLED":
		p.found.orders.Cancelled++
	default:
		p.found.orders.Open++
	}
}
