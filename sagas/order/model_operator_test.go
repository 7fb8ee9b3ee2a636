package order

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
