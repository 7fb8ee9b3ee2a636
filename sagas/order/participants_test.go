package order

import (
	"testing"

	stock "millrace/domain/inventory"
	"millrace/domain/money"
	pay "millrace/domain/payment"
)

// The search is worth as much as its models are like the actual thing. Here every move of the
// model's participants is compared with the domain's.

var paymentsAlike = map[pay.State]payment{
	pay.Capturing: paymentCapturing, pay.Captured: paymentCaptured, pay.Declined: paymentDeclined,
	pay.Undoing: paymentUndoing, pay.Refunding: paymentRefunding,
	pay.Refunded: paymentClosed, pay.Voided: paymentClosed, pay.Barred: paymentClosed,
}

func TestTheModelOfPaymentMovesLikeTheDomain(t *testing.T) {
	t.Parallel()
	m := &model{sagas: sagas{states: []State{Start()}}}
	deedNamed := func(what string) func(lane) lane {
		for _, d := range deeds {
			if d.what == what {
				return func(l lane) lane {
					if d.can(m, l) {
						d.do(&l)
					}
					return l
				}
			}
		}
		t.Fatalf("there is no deed %q", what)
		return nil
	}
	captured := func(p *pay.Payment) pay.Next { return p.CaptureSucceeded("id", "code") }
	refused := func(p *pay.Payment) pay.Next { return p.CaptureRefused("no") }
	moves := []struct {
		what     string
		from     []pay.State // where the model lets it happen
		provider provider
		domain   func(*pay.Payment) pay.Next
		model    func(lane) lane
	}{
		{"undo", nil, providerAsked, (*pay.Payment).Undo, func(l lane) lane { return m.atPayment(l, refundToPayment) }},
		{"created again", nil, providerAsked, func(*pay.Payment) pay.Next { return pay.Nothing },
			func(l lane) lane { return m.atPayment(l, createdToPayment) }},
		{"captured", []pay.State{pay.Capturing}, providerCaptured, captured, deedNamed("payment learns of the capture")},
		{"captured while undoing", []pay.State{pay.Undoing}, providerCaptured, captured, deedNamed("payment finds the capture that was to be undone")},
		{"declined", []pay.State{pay.Capturing}, providerDeclined, refused, deedNamed("payment learns that it was declined")},
		{"declined while undoing", []pay.State{pay.Undoing}, providerDeclined, refused, deedNamed("payment finds that there is nothing to undo")},
		{"voided", []pay.State{pay.Undoing}, providerAsked, (*pay.Payment).CaptureBarred, deedNamed("payment voids the capture")},
		{"refunded", nil, providerCaptured, (*pay.Payment).RefundSucceeded, deedNamed("the provider gives the money back")},
	}
	for _, mv := range moves {
		from := mv.from
		if from == nil {
			for s := range paymentsAlike {
				from = append(from, s)
			}
		}
		for _, s := range from {
			p := pay.Restore(pay.Snapshot{OrderID: orderID, State: s, Amount: money.Of(500, money.None)})
			next := mv.domain(p)
			got := mv.model(lane{payment: paymentsAlike[s], provider: mv.provider})
			right := got.net.has(succeededToSaga) == (next == pay.TellPaid) &&
				got.net.has(failedToSaga) == (next == pay.TellDeclined) &&
				got.net.has(refundedToSaga) == (next == pay.TellUndone)
			if got.payment != paymentsAlike[p.State()] || !right {
				t.Errorf("%s in %s: domain %s and says %s, model %d and sends %b", mv.what, s, p.State(), next, got.payment, got.net)
			}
		}
	}

	barred := pay.Bar(orderID)
	got := m.atPayment(lane{}, refundToPayment)
	if next := barred.Undo(); next != pay.TellUndone || got.payment != paymentsAlike[barred.State()] || !got.net.has(refundedToSaga) {
		t.Errorf("undo of nothing: domain %s and %s, model %d and %b", barred.State(), next, got.payment, got.net)
	}
}

func TestTheModelOfInventoryMovesLikeTheDomain(t *testing.T) {
	t.Parallel()
	alike := map[stock.State]inventory{
		{}: inventoryUnseen, stock.Held: inventoryHolds, stock.Refused: inventoryRefused,
		stock.Released: inventoryBarred, stock.Barred: inventoryBarred,
	}
	piece := []stock.Line{{SKU: "SKU-LOW", Qty: 1}}
	shelf := func(s stock.State, onHand int) *stock.Shelf {
		level := stock.Level{SKU: "SKU-LOW", OnHand: onHand}
		if s == (stock.State{}) {
			return stock.NewShelf(orderID, []stock.Level{level}, nil)
		}
		if s == stock.Held {
			level.OnHand, level.Reserved = onHand+1, 1
		}
		return stock.NewShelf(orderID, []stock.Level{level}, &stock.Reservation{OrderID: orderID, State: s, Lines: piece})
	}
	m := &model{}
	for state, modelled := range alike {
		for onHand := range 2 {
			actual := shelf(state, onHand)
			verdict, _ := actual.Reserve(piece)
			got, _ := m.atInventory(lane{inventory: modelled}, succeededToInventory, onHand > 0)
			if got.inventory != alike[actual.Reservation().State] ||
				got.net.has(reservedToSaga) != (verdict == stock.Reserved) ||
				got.net.has(refusedToSaga) != (verdict == stock.OutOfStock || verdict == stock.TooLate) {
				t.Errorf("reserve in %q with %d: domain %s, model %d and %b", state, onHand, actual.Reservation().State, got.inventory, got.net)
			}

			actual = shelf(state, onHand)
			freed := actual.Release()
			got, put := m.atInventory(lane{inventory: modelled}, releaseToInventory, onHand > 0)
			if got.inventory != alike[actual.Reservation().State] || put != len(freed) || !got.net.has(releasedToSaga) {
				t.Errorf("release in %q: domain %s and %v, model %d and %d", state, actual.Reservation().State, freed, got.inventory, put)
			}
		}
	}
}
