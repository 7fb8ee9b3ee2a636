package e2e

import (
	"testing"
	"time"
)

// ledger is the outside truth about money.
type ledger struct {
	Captures, Refunds []movement
}

type movement struct {
	Key, OrderID, Currency string
	Amount                 int64
}

// of gives an order's share.
func (l ledger) of(orderID string) (captures, refunds []movement) {
	for _, m := range l.Captures {
		if m.OrderID == orderID {
			captures = append(captures, m)
		}
	}
	for _, m := range l.Refunds {
		if m.OrderID == orderID {
			refunds = append(refunds, m)
		}
	}
	return captures, refunds
}

func (s *stack) ledger(t *testing.T) ledger {
	t.Helper()
	var l ledger
	s.get(t, pspPort, "/v1/ledger", &l)
	return l
}

// level is what there is of a product.
type level struct {
	SKU                         string
	OnHand, Reserved, Available int
}

func (s *stack) stock(t *testing.T) map[string]level {
	t.Helper()
	var shelf struct{ Items []level }
	s.get(t, gatewayPort, "/api/v1/stock", &shelf)
	levels := map[string]level{}
	for _, l := range shelf.Items {
		levels[l.SKU] = l
	}
	return levels
}

// settled is balanced, and lets the program itself look into its databases, decide every history again and
// compare the read models with the journal.
func (s *stack) settled(t *testing.T) {
	t.Helper()
	s.balanced(t)
	s.verified(t)
	s.replayed(t)
	s.modelled(t)
}

// balanced waits until every order has ended and its mail has come, and checks that orders, money,
// stock and mail agree, and that every message on Kafka was what the contract says.
func (s *stack) balanced(t *testing.T) {
	t.Helper()
	var all []order
	await(t, 90*time.Second, "every order has ended", func() bool {
		all = s.orders(t, "")
		for _, o := range all {
			if !o.ended() {
				return false
			}
		}
		return true
	})
	money, reserved := s.ledger(t), map[string]int{}
	for _, o := range all {
		if o.Status == "CONFIRMED" {
			for _, i := range o.Items {
				reserved[i.SKU] += i.Qty
			}
		}
		s.paid(t, o, money)
	}
	for _, l := range s.stock(t) {
		if l.Reserved != reserved[l.SKU] || l.Available != l.OnHand-l.Reserved || l.Available < 0 {
			t.Errorf("the shelf of %s says %+v, and the confirmed orders have %d", l.SKU, l, reserved[l.SKU])
		}
	}
	for _, o := range all {
		s.mailed(t, o.OrderID)
	}
	s.wire(t, all)
	t.Logf("%d orders agree with ledger, stock, mail and topics", len(all))
}

// paid checks an order against the provider: a confirmed one is paid once, any other one is not, or
// has its money back.
func (s *stack) paid(t *testing.T, o order, money ledger) {
	t.Helper()
	captures, refunds := money.of(o.OrderID)
	ok := len(captures) <= 1 && len(refunds) <= len(captures)
	for _, m := range append(captures, refunds...) {
		ok = ok && m.Amount == o.Total && m.Currency == o.Currency
	}
	if o.Status == "CONFIRMED" {
		ok = ok && len(captures) == 1 && len(refunds) == 0
	} else {
		ok = ok && len(captures) == len(refunds)
	}
	if !ok {
		t.Errorf("%s is %s over %d, and the provider has captures %v and refunds %v", o.OrderID, o.Status, o.Total, captures, refunds)
	}
}

// mailed waits for the one mail of an order that has ended.
func (s *stack) mailed(t *testing.T, orderID string) letter {
	t.Helper()
	var got []letter
	await(t, 30*time.Second, "the mail about "+orderID+" has come", func() bool {
		got = s.letters(t, orderID)
		return len(got) > 0
	})
	if len(got) != 1 || got[0].Deliveries != 1 && !s.crashed && !s.underWay[orderID] {
		t.Errorf("%s has mails %+v, want one that came once", orderID, got)
	}
	return got[0]
}
