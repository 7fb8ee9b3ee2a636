package order

import (
	"reflect"

	"millrace/app/messages"
)

// Input is one thing that happens to a saga: a message, or a timer that has run out.
type Input struct {
	ID      string           // the event's id; for a timer, an id derived from it
	Message messages.Message // a message of app/messages, by pointer or by value, or a TimedOut
}

// The names of timers. How long each runs is the engine's affair.
const (
	PaymentTimer   = "payment"
	InventoryTimer = "inventory"
)

// Timer names one timer of a saga: what is waited for, and the step entry that began the wait. An
// entry is never repeated, so a timer that was cleared cannot be mistaken for a later one.
type Timer struct {
	Name  string `json:"name"`
	Entry int    `json:"entry"`
}

// TimedOut is what a timer says when it has run out. It is on no topic: the engine gives it to
// Decide, and journal and timeline show it.
type TimedOut struct {
	OrderID string `json:"orderId"`
	Timer   Timer  `json:"timer"`
}

// Name is PaymentTimedOut or InventoryTimedOut, and TimedOut for a timer that no saga sets.
func (m TimedOut) Name() string {
	switch m.Timer.Name {
	case PaymentTimer:
		return paymentTimedOut
	case InventoryTimer:
		return inventoryTimedOut
	default:
		return "TimedOut"
	}
}

// Order is the id of the order whose timer it was.
func (m TimedOut) Order() string { return m.OrderID }

// The names of what the table knows.
const (
	orderCreated         = "OrderCreated"
	orderCancelRequested = "OrderCancelRequested"
	orderCompleted       = "OrderCompleted"
	paymentSucceeded     = "PaymentSucceeded"
	paymentFailed        = "PaymentFailed"
	paymentTimedOut      = "PaymentTimedOut"
	paymentRefunded      = "PaymentRefunded"
	inventoryReserved    = "InventoryReserved"
	inventoryFailed      = "InventoryFailed"
	inventoryTimedOut    = "InventoryTimedOut"
	inventoryReleased    = "InventoryReleased"
	refundPayment        = "RefundPayment"
	releaseInventory     = "ReleaseInventory"
)

// heard is an input as the table looks at it.
type heard struct {
	id, name string
	created  messages.OrderCreated // of OrderCreated
	timer    *Timer                // of a time-out
}

// hear reads an input. It gives false for what carries no message, and for what bears a name
// whose data the saga needs without having that data.
func hear(in Input) (heard, bool) {
	if v := reflect.ValueOf(in.Message); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return heard{}, false
	}
	h := heard{id: in.ID, name: in.Message.Name()}
	switch m := in.Message.(type) {
	case *messages.OrderCreated:
		h.created = *m
	case messages.OrderCreated:
		h.created = m
	case *TimedOut:
		h.timer = &m.Timer
	case TimedOut:
		h.timer = &m.Timer
	default:
		needsData := h.name == orderCreated || h.name == paymentTimedOut || h.name == inventoryTimedOut
		return h, !needsData
	}
	return h, true
}
