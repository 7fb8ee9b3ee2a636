package order

import (
	"fmt"
	"slices"
	"testing"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// mutants are wrong sagas and wrong participants. Each is a mistake that somebody could make in
// good faith, and each must be found by the search, in the world and by the promise named here.
var mutants = []struct {
	name   string
	decide func(State, Input) Decision
	flaws  flaws
	world  string
	caught string
}{
	{"payment is undone first", undoPaymentFirst, flaws{}, "one order", goodsNeedMoney},
	{"inventory is not barred while payment is awaited", skipRelease, flaws{}, "one order", goodsNeedMoney},
	{"a late PaymentSucceeded is applied while undoing", applyLatePayment, flaws{}, "one order", endAfterUndo},
	{"a cancel wins over the confirmation", cancelConfirmed, flaws{}, "one order", endAbsorbs},
	{"an early message is dropped", dropEarly, flaws{}, "one order, undisturbed", endReachable},
	{"any time-out counts", acceptStaleTimer, flaws{}, "one order", clearedTimer},
	{"timers are never cleared", keepTimers, flaws{}, "one order", timersFitSteps},
	{"the second wait has no timer", waitWithoutTimer, flaws{}, "one order", timersFitSteps},
	{"the order is completed before the refund is answered", completeEarly, flaws{}, "one order", endAfterUndo},
	{"out of stock ends the order without a refund", forgetRefund, flaws{}, "one order, nothing in stock", undoneIsFree},
	{"a repeated OrderCreated begins again", beginAgain, flaws{}, "one order", statusMoves},
	{"a cancel while undoing takes the reason over", lastReasonWins, flaws{}, "one order", reasonStays},
	{"inventory leaves no tombstone", Decide, flaws{inventoryForgets: true}, "one order", goodsNeedMoney},
	{"payment leaves no tombstone", Decide, flaws{paymentForgets: true}, "one order", undoneIsFree},
	{"a refund is answered while the capture is open", Decide, flaws{refundsBlindly: true}, "one order", moneyConserved},
	{"a refused void is taken for granted", Decide, flaws{voidsBlindly: true}, "one order", moneyConserved},
	{"every OrderCreated is captured under a fresh key", Decide, flaws{capturesFreshKeys: true}, "one order", oneCapture},
	{"a repeated release puts the piece back twice", Decide, flaws{releasesTwice: true}, "one order", stockConserved},
}

func TestTheSearchCatchesEveryMutant(t *testing.T) {
	t.Parallel()
	caught := 0
	for _, mutant := range mutants {
		world, r := searchAll(mutant.decide, mutant.flaws)
		switch {
		case r.broken == noPromise:
			t.Errorf("not caught: %s", mutant.name)
			continue
		case r.broken != mutant.caught || world != mutant.world:
			t.Errorf("%s: caught in %q by %q, want %q by %q%s", mutant.name, world, r.broken, mutant.world, mutant.caught, r.story())
		}
		caught++
		fmt.Printf("mutant: %s: breaks %q in %d moves (%s)\n", mutant.name, r.broken, len(r.trace), world)
	}
	fmt.Printf("mutants: caught %d of %d\n", caught, len(mutants))
}

// searchAll searches the worlds in turn until a promise is broken.
func searchAll(decide func(State, Input) Decision, f flaws) (string, result) {
	for _, s := range worldsToSearch {
		m := s.model
		m.decide, m.operate, m.flaws = decide, Operate, f
		if r := m.search(); r.broken != noPromise {
			return s.name, r
		}
	}
	return "", result{}
}

func undoPaymentFirst(s State, in Input) Decision {
	d := Decide(s, in)
	outOfStock := d.State.Reason == messages.ReasonOutOfStock
	switch {
	case outOfStock:
	case d.State.Step == UndoingInventory && s.Step != UndoingInventory:
		d.State.Step = UndoingPayment
		d.Send = []messages.Message{&messages.RefundPayment{OrderID: orderID}}
	case s.Step == UndoingPayment && d.State.Step.Terminal():
		d.State, d.Timeline = s, nil
		d.State.Step = UndoingInventory
		d.Send = []messages.Message{&messages.ReleaseInventory{OrderID: orderID}}
	case s.Step == UndoingInventory && d.State.Step == UndoingPayment:
		s.Step = UndoingPayment
		return Decide(s, says(&messages.PaymentRefunded{OrderID: orderID}))
	}
	return d
}

func skipRelease(s State, in Input) Decision {
	d := Decide(s, in)
	if s.Step == AwaitingPayment && d.State.Step == UndoingInventory {
		d.State.Step = UndoingPayment
		d.Send = []messages.Message{&messages.RefundPayment{OrderID: orderID}}
	}
	return d
}

func applyLatePayment(s State, in Input) Decision {
	if s.Step == UndoingInventory && in.Message.Name() == paymentSucceeded && s.Status == orders.Processing {
		s.Step = AwaitingPayment
	}
	return Decide(s, in)
}

func cancelConfirmed(s State, in Input) Decision {
	if s.Step == Confirmed && in.Message.Name() == orderCancelRequested {
		s.Step, s.Status = AwaitingInventory, orders.Paid
	}
	return Decide(s, in)
}

func dropEarly(s State, in Input) Decision {
	d := Decide(s, in)
	if d.Verdict == Held {
		return Decision{State: s, Verdict: Absorbed}
	}
	return d
}

func acceptStaleTimer(s State, in Input) Decision {
	if current, runs := s.timer(); runs {
		if m, ok := in.Message.(TimedOut); ok {
			in = says(TimedOut{m.OrderID, current})
		}
	}
	return Decide(s, in)
}

func keepTimers(s State, in Input) Decision {
	d := Decide(s, in)
	d.ClearTimers = nil
	return d
}

func waitWithoutTimer(s State, in Input) Decision {
	d := Decide(s, in)
	if d.State.Waited > s.Waited {
		d.SetTimers = nil
	}
	return d
}

func completeEarly(s State, in Input) Decision {
	d := Decide(s, in)
	if d.State.Step == UndoingPayment && s.Step != UndoingPayment {
		after := Decide(d.State, says(&messages.PaymentRefunded{OrderID: orderID}))
		after.Send = slices.Concat(d.Send, after.Send)
		after.ClearTimers = d.ClearTimers
		return after
	}
	return d
}

func forgetRefund(s State, in Input) Decision {
	d := Decide(s, in)
	if s.Step == AwaitingInventory && d.State.Step == UndoingPayment {
		after := Decide(d.State, says(&messages.PaymentRefunded{OrderID: orderID}))
		after.ClearTimers = d.ClearTimers
		return after
	}
	return d
}

func beginAgain(s State, in Input) Decision {
	if s.Step == AwaitingInventory && in.Message.Name() == orderCreated {
		s.Step = New
	}
	return Decide(s, in)
}

func lastReasonWins(s State, in Input) Decision {
	d := Decide(s, in)
	if s.Step == UndoingPayment && in.Message.Name() == orderCancelRequested {
		d.State.Reason = messages.ReasonCancelledByUser
	}
	return d
}
