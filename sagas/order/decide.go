package order

import (
	"slices"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// Decide says what follows from one input by the definition that new sagas begin with. A saga that
// is stored has a version of its own: see Of.
func Decide(s State, in Input) Decision { return Current().Decide(s, in) }

// Decide says what follows from one input. It has an answer for every state and every input:
// what it does not know, or has no use for, is absorbed. Messages that were held are taken in the
// same decision as the cause they waited for.
func (d Definition) Decide(s State, in Input) Decision {
	s.Held = slices.Clone(s.Held) // the caller's state is not ours to change
	t := turn{Decision: Decision{State: s, Verdict: Absorbed}, by: d}
	m, ok := hear(in)
	if !ok {
		return t.Decision
	}
	t.order = in.Message.Order()

	switch t.Verdict = t.take(m); t.Verdict {
	case Held:
		if s.holds(m.name) {
			t.Verdict = Absorbed
			break
		}
		t.State.Held = append(t.State.Held, Early{ID: m.id, Name: m.name})
	case Applied:
		for t.takeHeld() {
		}
	}
	return t.Decision
}

// row is a place in the table: a step, and what happens there.
type row struct {
	at Step
	on string
}

// take is the table of the package comment.
func (t *turn) take(m heard) Verdict {
	if current, _ := t.State.timer(); m.timer != nil && *m.timer != current {
		return Absorbed // the step it belonged to was left
	}
	s := &t.State

	switch (row{s.Step, m.name}) {

	case row{New, orderCreated}:
		t.learn(m.created)
		s.Status = orders.Processing
		t.enter(AwaitingPayment)
		t.setTimer()

	case row{AwaitingPayment, paymentSucceeded}:
		s.Status = orders.Paid
		t.note(m)
		t.enter(AwaitingInventory)
		t.setTimer()

	case row{AwaitingPayment, paymentFailed}:
		s.Reason = messages.ReasonPaymentDeclined
		t.note(m)
		t.complete()

	case row{AwaitingPayment, paymentTimedOut}:
		s.Reason = messages.ReasonPaymentTimeout
		t.note(m)
		t.releaseInventory()

	case row{AwaitingPayment, orderCancelRequested}:
		s.Reason = messages.ReasonCancelledByUser
		t.note(m)
		t.releaseInventory()

	case row{AwaitingInventory, inventoryReserved}:
		t.note(m)
		t.complete()

	case row{AwaitingInventory, inventoryFailed}:
		s.Reason = messages.ReasonOutOfStock
		t.note(m)
		t.refundPayment()

	case row{AwaitingInventory, inventoryTimedOut}:
		if s.Waited+1 < t.by.InventoryWaits {
			t.waitAgain()
			break
		}
		s.Reason = messages.ReasonInventoryTimeout
		t.note(m)
		t.releaseInventory()

	case row{AwaitingInventory, orderCancelRequested}:
		s.Reason = messages.ReasonCancelledByUser
		t.note(m)
		t.releaseInventory()

	case row{UndoingInventory, inventoryReleased}:
		t.note(m)
		t.refundPayment()

	case row{UndoingPayment, paymentRefunded}:
		t.note(m)
		t.complete()

	// Before their cause.
	case row{New, paymentSucceeded}, row{New, paymentFailed},
		row{New, inventoryReserved}, row{New, inventoryFailed},
		row{New, orderCancelRequested},
		row{AwaitingPayment, inventoryReserved}, row{AwaitingPayment, inventoryFailed}:
		return Held

	default:
		return Absorbed
	}
	return Applied
}

// takeHeld takes the oldest held message whose cause has come by now, and says whether there was
// one.
func (t *turn) takeHeld() bool {
	for i, early := range t.State.Held {
		if t.take(heard{id: early.ID, name: early.Name}) == Held {
			continue
		}
		if t.State.Held = slices.Delete(t.State.Held, i, i+1); len(t.State.Held) == 0 {
			t.State.Held = nil // as a stored state without the field is read back
		}
		return true
	}
	return false
}
