package order

import (
	"slices"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// The promises that a search checks. What is broken is named by them.
const (
	stockConserved  = "stock is conserved and never negative"
	moneyConserved  = "money is conserved: a payment that is closed or declined keeps nothing"
	oneCapture      = "an order is captured at most once"
	refundOfCapture = "no refund without a capture"
	undoneIsFree    = "nothing is charged for an order that failed or was cancelled"
	confirmedIsPaid = "a confirmed order is charged exactly once"
	reservedIfSold  = "pieces are set aside for an ended order exactly when it is confirmed"
	goodsNeedMoney  = "nothing is set aside for money that was given back"
	stepFitsStatus  = "step and status end together, and fit"
	timersFitSteps  = "a timer runs exactly while its step awaits"
	cancelIsAsked   = "no order is cancelled that nobody wished cancelled"
	endAbsorbs      = "an ended saga changes nothing any more"
	statusMoves     = "the status moves only along its table"
	endAfterUndo    = "a saga ends only when every compensation has been answered"
	completedOnce   = "OrderCompleted is sent exactly when the saga ends"
	reasonStays     = "the first cause of an undo stays its reason"
	clearedTimer    = "a timer that was cleared changes nothing"
	endReachable    = "from every reachable state an end can be reached"
	endsAsDecided   = "without time-outs and cancels every order ends as its participants decided"
	noPromise       = ""
)

// delivery is one input to the saga and what became of it, looked at from outside.
type delivery struct {
	before        State
	in            Input
	decision      Decision
	lane, carried lane // before the delivery, and with the decision carried out
}

// brokenByDelivery names the promise that a delivery to the saga broke.
func brokenByDelivery(s delivery) string {
	d, after := s.decision, s.decision.State
	idle := len(d.Send)+len(d.SetTimers)+len(d.ClearTimers)+len(d.Timeline) == 0
	moved := !sameState(s.before, after)
	timedOut, timer := s.in.Message.(TimedOut)
	ends := after.Step.Terminal() && !s.before.Step.Terminal()
	completed := slices.ContainsFunc(d.Send, func(m messages.Message) bool { return m.Name() == orderCompleted })
	switch {
	case s.before.Step.Terminal() && (moved || !idle):
		return endAbsorbs
	case !pathOf(s.before, d):
		return statusMoves
	case ends && s.carried.facts&releaseAsked != 0 && s.carried.facts&releaseAnswered == 0,
		ends && s.carried.facts&refundAsked != 0 && s.carried.facts&refundAnswered == 0:
		return endAfterUndo
	case ends != completed:
		return completedOnce
	case s.before.Reason != "" && after.Reason != s.before.Reason:
		return reasonStays
	case timer && (moved || !idle) && !s.lane.runs(timedOut.Timer):
		return clearedTimer
	}
	return noPromise
}

func sameState(a, b State) bool {
	held := slices.Equal(a.Held, b.Held)
	a.Held, b.Held = nil, nil
	return held && a.Step == b.Step && a.Entry == b.Entry && a.Status == b.Status && a.UserID == b.UserID &&
		a.Currency == b.Currency && a.Total == b.Total && a.Reason == b.Reason && a.Waited == b.Waited
}

// pathOf says whether status and timeline go along the status table. A decision that took held
// messages may go several statuses at once, but not past a step.
func pathOf(before State, d Decision) bool {
	at := before.Status
	for _, mark := range d.Timeline {
		if !at.Reaches(mark.Status) {
			return false
		}
		at = mark.Status
	}
	if !at.Reaches(d.State.Status) {
		return false
	}
	single := d.State.Entry-before.Entry <= 1
	return !single || before.Status == d.State.Status || before.Status.CanBecome(d.State.Status)
}

func (l lane) runs(t Timer) bool { return l.live[timerIndex(t)] == uint8(t.Entry) }

// brokenByLane names the promise that does not hold in l.
func (m *model) brokenByLane(l lane) string {
	s := m.sagas.states[l.saga]
	charged := int(l.captures) - int(l.refunds)
	switch {
	case l.captures > 1:
		return oneCapture
	case charged < 0:
		return refundOfCapture
	case (s.Step == Failed || s.Step == Cancelled) && charged != 0:
		return undoneIsFree
	case s.Step == Confirmed && charged != 1:
		return confirmedIsPaid
	case l.payment == paymentClosed && charged != 0, l.payment == paymentDeclined && charged != 0:
		return moneyConserved
	case s.Step.Terminal() && (l.inventory == inventoryHolds) != (s.Step == Confirmed):
		return reservedIfSold
	case l.inventory == inventoryHolds && l.refunds > 0:
		return goodsNeedMoney
	case s.Step.Terminal() != s.Status.Terminal(), s.Step.Terminal() && s.Status != s.Outcome():
		return stepFitsStatus
	case (l.live[0] != 0) != (s.Step == AwaitingPayment), (l.live[1] != 0) != (s.Step == AwaitingInventory):
		return timersFitSteps
	case s.Step == Cancelled && l.facts&cancelWished == 0:
		return cancelIsAsked
	case !m.timeouts && !m.cancels && m.acts == 0 && s.Step.Terminal() && !l.asDecided(s):
		return endsAsDecided
	}
	return noPromise
}

// asDecided says whether the end of an undisturbed order is what its participants decided.
func (l lane) asDecided(s State) bool {
	switch {
	case l.provider == providerDeclined:
		return s.Status == orders.Failed && s.Reason == messages.ReasonPaymentDeclined
	case l.inventory == inventoryRefused:
		return s.Status == orders.Failed && s.Reason == messages.ReasonOutOfStock
	default:
		return s.Status == orders.Confirmed
	}
}
