package notification

import (
	"context"
	"fmt"

	"millrace/domain/fault"
	"millrace/domain/intent"
)

// ErrOutcome: the outcome is not one that can be stated of a mail.
var ErrOutcome = fault.New(fault.Invalid, "unknown_outcome", "of a mail it can be said that it was sent")

// OutcomeSent is what a person can say became of a mail that was refused for good: the customer was
// told by other means.
const OutcomeSent = "sent"

// SettleByHand ends a mail that was refused for good with what a person says became of it.
type SettleByHand struct{ work Work }

// NewSettleByHand makes the use case.
func NewSettleByHand(work Work) *SettleByHand { return &SettleByHand{work} }

// Handle notes that the customer was told, and settles the intent. It fails with ErrOutcome, and with
// a Conflict when the intent has moved on.
func (h *SettleByHand) Handle(ctx context.Context, in intent.Intent, outcome string) error {
	if in.Kind != intent.Mail || outcome != OutcomeSent {
		return ErrOutcome.Because(fmt.Errorf("%q of a %s", outcome, in.Kind))
	}
	return h.work.Do(ctx, func(tx Tx) error {
		tx.Sent(in.OrderID)
		tx.Settle(in)
		return nil
	})
}
