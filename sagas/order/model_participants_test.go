package order

// payment is what payment-service has written of an order.
type payment uint8

const (
	paymentUnseen payment = iota
	paymentCapturing
	paymentCaptured
	paymentDeclined
	paymentUndoing   // a refund was asked for while the capture's fate is not known
	paymentRefunding // the money is on its way back
	paymentClosed    // no money of the order is here, or ever will be
)

// provider is what has become of the capture at the provider.
type provider uint8

const (
	providerUnasked provider = iota
	providerAsked            // the call is on its way, and may still be barred
	providerRunning          // too late to bar it
	providerCaptured
	providerDeclined
	providerVoided
)

// inventory is what inventory-service has written of an order, one piece of one SKU.
type inventory uint8

const (
	inventoryUnseen inventory = iota
	inventoryHolds
	inventoryRefused
	inventoryBarred // freed, or released before it was asked to reserve
)

// flaws are the ways in which a participant of a mutant is wrong.
type flaws struct {
	inventoryForgets  bool // no tombstone: a release of nothing leaves no trace
	paymentForgets    bool // no tombstone: a refund of nothing leaves no trace
	refundsBlindly    bool // answers a refund while the capture's fate is not known
	voidsBlindly      bool // takes the void for granted when the provider has refused it
	capturesFreshKeys bool // charges each delivery of OrderCreated under a key of its own
	releasesTwice     bool // puts the piece back for every delivery of the release
}

// atPayment delivers a letter to payment-service.
func (m *model) atPayment(l lane, x letter) lane {
	switch x {
	case createdToPayment:
		if l.payment == paymentUnseen || m.flaws.capturesFreshKeys && l.payment == paymentCaptured {
			l.payment, l.provider = paymentCapturing, providerAsked
		}
	case refundToPayment:
		switch l.payment {
		case paymentUnseen:
			if !m.flaws.paymentForgets {
				l.payment = paymentClosed
			}
			l.net.send(refundedToSaga)
		case paymentCapturing:
			l.payment = paymentUndoing
			if m.flaws.refundsBlindly {
				l.payment = paymentClosed
				l.net.send(refundedToSaga)
			}
		case paymentCaptured:
			l.payment = paymentRefunding
		case paymentDeclined, paymentClosed: // a repeated command is answered again
			l.net.send(refundedToSaga)
		}
	}
	return l
}

// atInventory delivers a letter to inventory-service and gives the change of stock.
func (m *model) atInventory(l lane, x letter, inStock bool) (lane, int) {
	switch {
	case x == succeededToInventory && l.inventory == inventoryUnseen && inStock:
		l.inventory = inventoryHolds
		l.net.send(reservedToSaga)
		return l, -1
	case x == succeededToInventory && l.inventory == inventoryUnseen:
		l.inventory = inventoryRefused
		l.net.send(refusedToSaga)
	case x == succeededToInventory && l.inventory == inventoryBarred:
		l.net.send(refusedToSaga)
	case x == releaseToInventory:
		freed := 0
		if l.inventory == inventoryHolds || m.flaws.releasesTwice && l.inventory == inventoryBarred {
			freed = 1
		}
		if l.inventory != inventoryUnseen || !m.flaws.inventoryForgets {
			l.inventory = inventoryBarred
		}
		l.net.send(releasedToSaga)
		return l, freed
	}
	return l, 0
}

// deed is something that happens without a message: the provider, payment's worker, the clock,
// the customer.
type deed struct {
	what string
	can  func(m *model, l lane) bool
	do   func(l *lane)
	wish bool // nobody has to do it
}

var deeds = []deed{
	{what: "the provider starts the capture",
		can: func(_ *model, l lane) bool { return l.provider == providerAsked },
		do:  func(l *lane) { l.provider = providerRunning }},
	{what: "the provider captures",
		can: func(_ *model, l lane) bool { return l.provider == providerRunning },
		do:  func(l *lane) { l.provider = providerCaptured; l.captures++ }},
	{what: "the provider declines",
		can: func(_ *model, l lane) bool { return l.provider == providerRunning },
		do:  func(l *lane) { l.provider = providerDeclined }},
	{what: "payment learns of the capture",
		can: func(_ *model, l lane) bool { return l.payment == paymentCapturing && l.provider == providerCaptured },
		do:  func(l *lane) { l.payment = paymentCaptured; l.net.send(succeededToSaga, succeededToInventory) }},
	{what: "payment learns that it was declined",
		can: func(_ *model, l lane) bool { return l.payment == paymentCapturing && l.provider == providerDeclined },
		do:  func(l *lane) { l.payment = paymentDeclined; l.net.send(failedToSaga) }},
	{what: "payment voids the capture",
		can: func(m *model, l lane) bool {
			refused := l.provider == providerRunning && !m.flaws.voidsBlindly
			return l.payment == paymentUndoing && l.provider <= providerRunning && !refused
		},
		do: func(l *lane) {
			if l.provider == providerAsked {
				l.provider = providerVoided
			}
			l.payment = paymentClosed
			l.net.send(refundedToSaga)
		}},
	{what: "payment finds the capture that was to be undone",
		can: func(_ *model, l lane) bool { return l.payment == paymentUndoing && l.provider == providerCaptured },
		do:  func(l *lane) { l.payment = paymentRefunding }},
	{what: "payment finds that there is nothing to undo",
		can: func(_ *model, l lane) bool { return l.payment == paymentUndoing && l.provider == providerDeclined },
		do:  func(l *lane) { l.payment = paymentDeclined; l.net.send(refundedToSaga) }},
	{what: "the provider gives the money back",
		can: func(_ *model, l lane) bool { return l.payment == paymentRefunding },
		do:  func(l *lane) { l.payment = paymentClosed; l.refunds++; l.net.send(refundedToSaga) }},
	{what: "the payment timer runs out",
		can: func(m *model, l lane) bool { return m.timeouts && l.live[0] != 0 && !l.net.has(paymentTimeToSaga) },
		do:  func(l *lane) { l.ranOut[0] = l.live[0]; l.net.send(paymentTimeToSaga) }},
	{what: "the inventory timer runs out",
		can: func(m *model, l lane) bool { return m.timeouts && l.live[1] != 0 && !l.net.has(inventoryTimeToSaga) },
		do:  func(l *lane) { l.ranOut[1] = l.live[1]; l.net.send(inventoryTimeToSaga) }},
	{what: "the customer cancels", wish: true,
		can: func(m *model, l lane) bool {
			return m.cancels && l.facts&cancelWished == 0 && !m.sagas.states[l.saga].Status.Terminal()
		},
		do: func(l *lane) { l.facts |= cancelWished; l.net.send(cancelToSaga) }},
}
