package order

import (
	"encoding/json"

	"millrace/app/messages"
)

// lane is everything about one order in the model: its saga, its participants, and what is under
// way between them. It is small and comparable, so that a search can remember millions.
type lane struct {
	saga      uint16    // index into sagas
	net       letters   // under way, in no order
	live      [2]uint8  // the entry of the running timer, payment's and inventory's; 0 when none
	ranOut    [2]uint8  // the entry of the time-out under way
	payment   payment   // what payment-service has written
	provider  provider  // what the provider has done
	captures  uint8     // money that left the customer
	refunds   uint8     // money that came back
	inventory inventory // what inventory-service has written
	facts     facts
	version   uint8 // of the definition, where sagas are migrated; 0 for that of the model
	migrated  uint8 // how often
}

// facts are what the checks must remember of the past.
type facts uint8

const (
	cancelWished facts = 1 << iota
	releaseAsked
	releaseAnswered
	refundAsked
	refundAnswered
	completedSent
)

// letter is one kind of message to one receiver. An event that two services read is two letters:
// each has its own delivery.
type letter uint8

const (
	createdToSaga letter = iota
	createdToPayment
	cancelToSaga
	succeededToSaga
	succeededToInventory
	failedToSaga
	refundedToSaga
	reservedToSaga
	refusedToSaga
	releasedToSaga
	paymentTimeToSaga
	inventoryTimeToSaga
	refundToPayment
	releaseToInventory
	letterKinds
)

var letterNames = [letterKinds]string{
	"OrderCreated → saga", "OrderCreated → payment", "OrderCancelRequested → saga",
	"PaymentSucceeded → saga", "PaymentSucceeded → inventory", "PaymentFailed → saga",
	"PaymentRefunded → saga", "InventoryReserved → saga", "InventoryFailed → saga",
	"InventoryReleased → saga", "PaymentTimedOut → saga", "InventoryTimedOut → saga",
	"RefundPayment → payment", "ReleaseInventory → inventory",
}

// letters is the network of one lane: the set of what is under way. Whether a delivery takes its
// letter out of the set or leaves it for another time is the search's choice, both are tried.
type letters uint16

func (n letters) has(l letter) bool { return n&(1<<l) != 0 }

func (n *letters) send(ls ...letter) {
	for _, l := range ls {
		*n |= 1 << l
	}
}

func (n *letters) take(ls ...letter) {
	for _, l := range ls {
		*n &^= 1 << l
	}
}

const orderID = "ord_1"

// input is the letter as the saga gets it.
func (l lane) input(x letter) Input {
	switch x {
	case createdToSaga:
		return says(&messages.OrderCreated{OrderID: orderID, UserID: "usr_1", Currency: "LKR", Total: 500})
	case cancelToSaga:
		return says(&messages.OrderCancelRequested{OrderID: orderID})
	case succeededToSaga:
		return says(&messages.PaymentSucceeded{OrderID: orderID})
	case failedToSaga:
		return says(&messages.PaymentFailed{OrderID: orderID})
	case refundedToSaga:
		return says(&messages.PaymentRefunded{OrderID: orderID})
	case reservedToSaga:
		return says(&messages.InventoryReserved{OrderID: orderID})
	case refusedToSaga:
		return says(&messages.InventoryFailed{OrderID: orderID})
	case releasedToSaga:
		return says(&messages.InventoryReleased{OrderID: orderID})
	case paymentTimeToSaga:
		return says(TimedOut{orderID, Timer{PaymentTimer, int(l.ranOut[0])}})
	default:
		return says(TimedOut{orderID, Timer{InventoryTimer, int(l.ranOut[1])}})
	}
}

// says gives a message an id that is its name: the model has one of each.
func says(m messages.Message) Input { return Input{ID: m.Name(), Message: m} }

// sagas numbers the saga states that were met. A state is known by its JSON and is read back
// from it, so the search decides on exactly what the engine would load.
type sagas struct {
	number map[string]uint16
	states []State
}

func (s *sagas) numberOf(state State) uint16 {
	stored, err := json.Marshal(state)
	if err != nil {
		panic(err)
	}
	n, met := s.number[string(stored)]
	if !met {
		var loaded State
		if err := json.Unmarshal(stored, &loaded); err != nil {
			panic(err)
		}
		n = uint16(len(s.states))
		s.number[string(stored)] = n
		s.states = append(s.states, loaded)
	}
	return n
}

// tell delivers a letter to the saga, carries the decision out, and names the promise that this
// broke, if any.
func (m *model) tell(l lane, x letter) (lane, string) {
	before, in := m.sagas.states[l.saga], l.input(x)
	d := m.decideFor(l)(before, in)
	after := m.carry(l, d)
	switch x {
	case releasedToSaga:
		after.facts |= releaseAnswered
	case refundedToSaga:
		after.facts |= refundAnswered
	}
	return after, brokenByDelivery(delivery{before, in, d, l, after})
}

// carry carries a decision out.
func (m *model) carry(l lane, d Decision) lane {
	after := l
	after.saga = m.sagas.numberOf(d.State)
	for _, sent := range d.Send {
		switch sent.Name() {
		case releaseInventory:
			after.net.send(releaseToInventory)
			after.facts |= releaseAsked
		case refundPayment:
			after.net.send(refundToPayment)
			after.facts |= refundAsked
		case orderCompleted:
			after.facts |= completedSent
		}
	}
	for _, t := range d.ClearTimers {
		if k := timerIndex(t); after.live[k] == uint8(t.Entry) {
			after.live[k] = 0
		}
	}
	for _, t := range d.SetTimers {
		after.live[timerIndex(t)] = uint8(t.Entry)
	}
	return after
}

func timerIndex(t Timer) int {
	if t.Name == InventoryTimer {
		return 1
	}
	return 0
}
