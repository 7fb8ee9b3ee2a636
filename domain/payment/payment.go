// Package payment is the life of one order's money: charged, refused, given back, or barred
// before it was ever taken. It knows no provider, no clock and no I/O.
package payment

import (
	"fmt"

	"millrace/domain/fault"
	"millrace/domain/money"
)

// State is where a payment is. The set is closed.
type State struct{ name string }

// The states of a payment. Only Capturing, Captured, Undoing and Refunding can still move.
var (
	Capturing = State{"capturing"} // the charge is intended; its fate is not known
	Captured  = State{"captured"}  // the money is with us
	Declined  = State{"declined"}  // the provider said no
	Undoing   = State{"undoing"}   // an undo was asked for while the charge's fate is not known
	Refunding = State{"refunding"} // the money is being given back
	Refunded  = State{"refunded"}  // it was given back
	Voided    = State{"voided"}    // the charge was barred before it happened
	Barred    = State{"barred"}    // the undo came before the order: a tombstone
)

var states = []State{Capturing, Captured, Declined, Undoing, Refunding, Refunded, Voided, Barred}

// String gives the name that is stored.
func (s State) String() string { return s.name }

// ParseState takes a name as String gives it.
func ParseState(name string) (State, error) {
	for _, s := range states {
		if s.name == name {
			return s, nil
		}
	}
	return State{}, fmt.Errorf("unknown payment state %q", name)
}

// Line is what inventory will need of an order: passed through, never looked at here.
type Line struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// Payment is the money of one order.
type Payment struct {
	orderID    string
	state      State
	amount     money.Amount
	method     string
	lines      []Line
	providerID string
	authCode   string
	reason     string
}

// Snapshot is a payment as it is stored.
type Snapshot struct {
	OrderID    string
	State      State
	Amount     money.Amount
	Method     string
	Lines      []Line
	ProviderID string
	AuthCode   string
	Reason     string
}

// ErrAmount: an order whose total is not above zero cannot be charged.
var ErrAmount = fault.New(fault.Invalid, "invalid_amount", "the amount to charge must be above zero")

// Open begins the payment of an order. It fails with ErrAmount.
func Open(orderID string, amount money.Amount, method string, lines []Line) (*Payment, error) {
	if amount.Minor <= 0 {
		return nil, ErrAmount
	}
	return &Payment{orderID: orderID, state: Capturing, amount: amount, method: method, lines: lines}, nil
}

// Bar makes the tombstone of an order whose undo came first: it will never be charged.
func Bar(orderID string) *Payment {
	return &Payment{orderID: orderID, state: Barred, amount: money.Of(0, money.None)}
}

// Restore brings a stored payment back. Only adapters call it.
func Restore(s Snapshot) *Payment {
	return &Payment{
		orderID: s.OrderID, state: s.State, amount: s.Amount, method: s.Method, lines: s.Lines,
		providerID: s.ProviderID, authCode: s.AuthCode, reason: s.Reason,
	}
}

// Snapshot gives what an adapter stores.
func (p *Payment) Snapshot() Snapshot {
	return Snapshot{
		OrderID: p.orderID, State: p.state, Amount: p.amount, Method: p.method, Lines: p.lines,
		ProviderID: p.providerID, AuthCode: p.authCode, Reason: p.reason,
	}
}

// OrderID names the order.
func (p *Payment) OrderID() string { return p.orderID }

// State gives where the payment is.
func (p *Payment) State() State { return p.state }

// Amount gives what is, was or would have been charged.
func (p *Payment) Amount() money.Amount { return p.amount }

// Method gives the means of payment that the customer chose.
func (p *Payment) Method() string { return p.method }

// Lines gives the order's lines as they were passed through.
func (p *Payment) Lines() []Line { return p.lines }

// ProviderID gives the provider's id of the capture, or "".
func (p *Payment) ProviderID() string { return p.providerID }

// AuthCode gives the provider's authorisation code, or "".
func (p *Payment) AuthCode() string { return p.authCode }

// Reason gives why the charge was declined, or "".
func (p *Payment) Reason() string { return p.reason }

// Unsettled says whether the charge's fate is still to be found out.
func (p *Payment) Unsettled() bool { return p.state == Capturing || p.state == Undoing }
