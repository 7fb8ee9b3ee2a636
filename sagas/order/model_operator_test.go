package order

import (
	"cmp"
	"fmt"
)

// actions adds what an operator may do to a lane's saga. Where sagas have versions of their own, migrations
// are acts among the others.
func (m *model) actions(l lane, may func(mv move, to lane)) {
	if m.acts == 0 {
		return
	}
	for _, act := range Acts {
		if act == ToVersion {
			continue
		}
		if to, broken, ok := m.operated(l, act); ok {
			may(move{what: "an operator's " + act.String(), wish: true, act: true, broken: broken}, to)
		}
	}
	if l.version == 0 {
		return
	}
	for _, by := range definitions {
		if by.Version != int(l.version) {
			to, broken := m.taken(l, by)
			may(move{what: fmt.Sprintf("an operator's %s from version %d to %d", ToVersion, l.version, by.Version), wish: true, act: true, broken: broken}, to)
		}
	}
}

// taken lets an operator take a lane's saga to another version. One that is refused changes nothing, and is a
// promise broken where the saga is open.
func (m *model) taken(l lane, by Definition) (lane, string) {
	before := m.sagas.states[l.saga]
	in := Input{ID: ToVersion.String(), Message: Operated{OrderID: orderID, Act: ToVersion, From: int(l.version), To: by.Version}}
	d, err := m.operate(m.decideFor(l), before, in)
	switch {
	case err != nil && before.Step.Terminal():
		return l, noPromise
	case err != nil:
		return l, openMigrates
	}
	after := m.carry(l, d)
	after.version = uint8(by.Version)
	return after, cmp.Or(brokenByDelivery(delivery{before, in, d, l, after}), brokenByMigration(before, d.State, by))
}

// operated lets an operator act on a lane's saga, and names the promise that this broke, if any. False:
// the act was refused.
func (m *model) operated(l lane, act Act) (lane, string, bool) {
	before := m.sagas.states[l.saga]
	told := Operated{OrderID: orderID, Act: act}
	again := l.sentBefore(before.Step)
	switch act {
	case Redrive:
		for x := range letterKinds {
			if again.has(x) {
				told.Again = append(told.Again, letterNames[x])
			}
		}
	case SkipStep:
		told.Found = l.books(before.Step)
	}
	in := Input{ID: act.String(), Message: told}
	d, err := m.operate(m.decideFor(l), before, in)
	if err != nil {
		return l, noPromise, false
	}
	after := m.carry(l, d)
	switch act {
	case Redrive:
		after.net |= again
	case Compensate:
		after.facts |= cancelWished
	case SkipStep: // what stands in the books was answered
		switch told.Found {
		case inventoryReleased:
			after.facts |= releaseAnswered
		case paymentRefunded:
			after.facts |= refundAnswered
		}
	}
	return after, brokenByDelivery(delivery{before, in, d, l, after}), true
}

// books is what the participant that a step waits for has written about it.
func (l lane) books(s Step) string {
	switch {
	case s == AwaitingPayment && l.payment == paymentCaptured:
		return paymentSucceeded
	case s == AwaitingPayment && l.payment == paymentDeclined:
		return paymentFailed
	case s == AwaitingInventory && l.inventory == inventoryHolds:
		return inventoryReserved
	case s == AwaitingInventory && l.inventory == inventoryRefused:
		return inventoryFailed
	case s == UndoingInventory && l.inventory == inventoryBarred:
		return inventoryReleased
	case s == UndoingPayment && (l.payment == paymentClosed || l.payment == paymentDeclined):
		return paymentRefunded
	}
	return ""
}

// sentBefore are the messages a step waits for that were sent: a redrive sends them again.
func (l lane) sentBefore(s Step) letters {
	var n letters
	switch s {
	case New:
		n.send(createdToSaga, createdToPayment)
	case AwaitingPayment:
		n.send(createdToSaga, createdToPayment)
	case AwaitingInventory:
		n.send(succeededToSaga, succeededToInventory)
	case UndoingInventory:
		n.send(releaseToInventory)
	case UndoingPayment:
		n.send(refundToPayment)
	}
	switch l.books(s) {
	case paymentSucceeded:
		n.send(succeededToSaga, succeededToInventory)
	case paymentFailed:
		n.send(failedToSaga)
	case inventoryReserved:
		n.send(reservedToSaga)
	case inventoryFailed:
		n.send(refusedToSaga)
	case inventoryReleased:
		n.send(releasedToSaga)
	case paymentRefunded:
		n.send(refundedToSaga)
	}
	return n
}
