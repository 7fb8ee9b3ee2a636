package order

import (
	"slices"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// State is all that the saga knows of one order. It is stored as JSON, with the version of the
// definition that decides for it.
type State struct {
	Step     Step          `json:"step"`
	Entry    int           `json:"entry"`  // how many steps have been entered; the timer of a step is named by it
	Status   orders.Status `json:"status"` // what the customer sees; it stays while the order is undone
	UserID   string        `json:"userId,omitempty"`
	Currency string        `json:"currency,omitempty"`
	Total    int64         `json:"total,omitempty"`  // minor units of Currency
	Reason   string        `json:"reason,omitempty"` // the first cause of the undo; empty on the way forward
	Waited   int           `json:"waited,omitempty"` // how many time-outs of inventory's were let pass; see Definition
	Held     []Early       `json:"held,omitempty"`   // in the order in which they came, each name once
}

// Early is a message that came before its cause. Its name is enough: what the saga does with one
// of these does not depend on its data.
type Early struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Start is the state of an order of which no message has been seen.
func Start() State { return State{Step: New, Status: orders.Pending} }

// Outcome is the status that the order ends with if nothing else happens to it: Confirmed without
// a reason, Cancelled when the customer was the first to wish so, and otherwise Failed.
func (s State) Outcome() orders.Status {
	switch s.Reason {
	case "":
		return orders.Confirmed
	case messages.ReasonCancelledByUser:
		return orders.Cancelled
	default:
		return orders.Failed
	}
}

// end is the step in which a saga with that outcome stops.
func (s State) end() Step {
	switch s.Outcome() {
	case orders.Confirmed:
		return Confirmed
	case orders.Cancelled:
		return Cancelled
	default:
		return Failed
	}
}

// timer is the one timer that may move the saga where it is now.
func (s State) timer() (Timer, bool) {
	switch s.Step {
	case AwaitingPayment:
		return Timer{PaymentTimer, s.Entry}, true
	case AwaitingInventory:
		return Timer{InventoryTimer, s.Entry}, true
	default:
		return Timer{}, false
	}
}

func (s State) holds(name string) bool {
	return slices.ContainsFunc(s.Held, func(e Early) bool { return e.Name == name })
}
