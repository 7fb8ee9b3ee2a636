package order

import (
	"fmt"
	"slices"
)

// Step is where a saga is. The set is closed: outside this package a Step is one of the variables
// below or comes from ParseStep.
type Step struct{ name string }

// The steps of a saga. Confirmed, Failed and Cancelled absorb.
var (
	New               = Step{"new"}                // OrderCreated has not been seen
	AwaitingPayment   = Step{"awaiting_payment"}   // payment has not answered OrderCreated
	AwaitingInventory = Step{"awaiting_inventory"} // inventory has not answered PaymentSucceeded
	UndoingInventory  = Step{"undoing_inventory"}  // ReleaseInventory has not been answered
	UndoingPayment    = Step{"undoing_payment"}    // RefundPayment has not been answered
	Confirmed         = Step{"confirmed"}          // sold
	Failed            = Step{"failed"}             // not sold, everything undone
	Cancelled         = Step{"cancelled"}          // not sold by the customer's wish, everything undone
)

// Steps lists every step, the way forward first.
var Steps = []Step{New, AwaitingPayment, AwaitingInventory, UndoingInventory, UndoingPayment, Confirmed, Failed, Cancelled}

// String gives the name that is stored and shown.
func (s Step) String() string { return s.name }

// Terminal says whether nothing leads out of s.
func (s Step) Terminal() bool { return s == Confirmed || s == Failed || s == Cancelled }

// Undoing says whether in s a command of the undo waits for its answer.
func (s Step) Undoing() bool { return s == UndoingInventory || s == UndoingPayment }

// ParseStep takes a name as String gives it.
func ParseStep(name string) (Step, error) {
	if i := slices.Index(Steps, Step{name}); i >= 0 {
		return Steps[i], nil
	}
	return Step{}, fmt.Errorf("unknown step %q", name)
}

// MarshalText makes a step its name in JSON.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.name), nil }

// UnmarshalText fails for a name that is no step.
func (s *Step) UnmarshalText(text []byte) error {
	parsed, err := ParseStep(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}
