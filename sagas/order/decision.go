package order

import (
	"slices"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// Decision is what follows from one input. Nothing of it has happened yet: who called Decide
// carries it out, all of it or nothing, in one transaction.
type Decision struct {
	State       State
	Send        []messages.Message // for the outbox, in this order
	SetTimers   []Timer
	ClearTimers []Timer // may have run out already; clearing those does no harm
	Timeline    []Mark  // in causal order
	Verdict     Verdict // what became of the input itself
}

// Mark is one entry of the order's timeline.
type Mark struct {
	Event   string        // a message name, PaymentTimedOut or InventoryTimedOut
	Status  orders.Status // the order's status from here on
	EventID string        // the message that made the entry; empty for one this decision sends itself
	Sent    int           // that message's index in Send; -1 where EventID is set
}

// Verdict says what became of an input. The set is closed.
type Verdict struct{ name string }

// The verdicts.
var (
	Applied  = Verdict{"applied"}  // it moved the saga
	Held     = Verdict{"held"}     // it came before its cause and is kept in the state
	Absorbed = Verdict{"absorbed"} // it changes nothing
)

// String gives the verdict's name as it stands in the journal.
func (v Verdict) String() string { return v.name }

// turn is a decision in the making, for one order.
type turn struct {
	Decision
	by    Definition
	order string
}

// enter goes to the next step. The timer of the step that is left has no meaning any more; one
// that was set in this same turn was never set at all.
func (t *turn) enter(next Step) {
	if old, runs := t.State.timer(); runs {
		if i := slices.Index(t.SetTimers, old); i >= 0 {
			t.SetTimers = slices.Delete(t.SetTimers, i, i+1)
		} else {
			t.ClearTimers = append(t.ClearTimers, old)
		}
	}
	t.State.Step = next
	t.State.Entry++
}

// setTimer starts the timer of the step that was just entered.
func (t *turn) setTimer() {
	if timer, runs := t.State.timer(); runs {
		t.SetTimers = append(t.SetTimers, timer)
	}
}

// waitAgain gives inventory another time-out to answer in. Nobody is asked again: the message that
// inventory answers is on its topic. The timeline does not show it, because nothing is decided yet.
func (t *turn) waitAgain() {
	t.State.Waited++
	t.enter(AwaitingInventory)
	t.setTimer()
}

// learn keeps what the last message of the saga will need.
func (t *turn) learn(m messages.OrderCreated) {
	t.State.UserID, t.State.Currency, t.State.Total = m.UserID, m.Currency, m.Total
}

// note puts the message on the timeline, with the status that the order has by now.
func (t *turn) note(m heard) {
	t.Timeline = append(t.Timeline, Mark{Event: m.name, Status: t.State.Status, EventID: m.id, Sent: -1})
}

// releaseInventory begins the undo where inventory may have something, or may yet get it.
func (t *turn) releaseInventory() {
	t.enter(UndoingInventory)
	t.Send = append(t.Send, &messages.ReleaseInventory{OrderID: t.order, Reason: t.State.Reason})
}

// refundPayment is the last compensation: inventory has nothing, and never will.
func (t *turn) refundPayment() {
	t.enter(UndoingPayment)
	t.Send = append(t.Send, &messages.RefundPayment{OrderID: t.order, Reason: t.State.Reason})
}

// complete ends the order as its reason says.
func (t *turn) complete() {
	t.enter(t.State.end())
	t.State.Status = t.State.Outcome()
	t.Timeline = append(t.Timeline, Mark{Event: orderCompleted, Status: t.State.Status, Sent: len(t.Send)})
	t.Send = append(t.Send, &messages.OrderCompleted{
		OrderID:  t.order,
		UserID:   t.State.UserID,
		Status:   t.State.Status.String(),
		Total:    t.State.Total,
		Currency: t.State.Currency,
		Reason:   t.State.Reason,
	})
}
