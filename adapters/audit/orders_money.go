package audit

import "millrace/app/audit"

// moneyOf: a sale was charged once, whole; what was not sold cost nothing, by our books and by
// the provider's. It takes the order's account, so that those of no order remain.
func (p *pass) moneyOf(o *ordered, v *paid) {
	f := p.found.of(audit.MoneyConserved)
	a, known := p.accounts[o.id]
	delete(p.accounts, o.id)
	if o.ended() {
		f.checked++
	}
	switch {
	case o.status == "CONFIRMED":
		switch {
		case v == nil || v.state != "captured":
			f.suspect(o.id, "the order is CONFIRMED, its payment is %s", stateOf(v))
		case v.amount != o.total || v.currency != o.currency:
			f.suspect(o.id, "it was charged %d %s for %d %s", v.amount, v.currency, o.total, o.currency)
		case p.accounts != nil && (a.captured-a.refunded != o.total || a.currency != o.currency):
			f.suspect(o.id, "the provider kept %d %s of %d %s", a.captured-a.refunded, a.currency, o.total, o.currency)
		}
	case o.ended():
		switch {
		case v == nil || v.state == "captured" || v.moving():
			f.suspect(o.id, "the order is %s, its payment is %s", o.status, stateOf(v))
		case a.captured != a.refunded:
			f.suspect(o.id, "the order is %s, and the provider kept %d %s", o.status, a.captured-a.refunded, a.currency)
		}
	}
	if p.settled && p.accounts != nil {
		p.booksOf(o.id, v, a, known)
	}
}

// booksOf: each payment is what the provider did.
func (p *pass) booksOf(orderID string, v *paid, a account, known bool) {
	f := p.found.of(audit.BooksMatchProvider)
	f.checked++
	switch {
	case v == nil && known:
		f.suspect(orderID, "the provider captured %d %s, and there is no payment", a.captured, a.currency)
	case v == nil:
	case v.state == "captured" && (a.captured != v.amount || a.refunded != 0 || a.currency != v.currency):
		f.suspect(orderID, "captured %d %s by our books, %d less %d %s by the provider's",
			v.amount, v.currency, a.captured, a.refunded, a.currency)
	case v.state == "refunded" && (a.captured != v.amount || a.refunded != v.amount || a.currency != v.currency):
		f.suspect(orderID, "refunded %d %s by our books, %d of %d %s by the provider's",
			v.amount, v.currency, a.refunded, a.captured, a.currency)
	case (v.state == "declined" || v.state == "voided" || v.state == "barred") && known:
		f.suspect(orderID, "%s by our books, the provider captured %d %s", v.state, a.captured, a.currency)
	case v.moving():
		f.suspect(orderID, "its payment is still %s", v.state)
	}
}

// moving says whether the payment's fate is still open.
func (v *paid) moving() bool {
	return v.state == "capturing" || v.state == "undoing" || v.state == "refunding"
}

func stateOf(v *paid) string {
	if v == nil {
		return "not there"
	}
	return v.state
}
