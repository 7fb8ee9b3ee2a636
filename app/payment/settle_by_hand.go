package payment

import (
	"context"
	"fmt"
	"strings"

	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/payment"
)

// ErrNothingToSettle: the payment is not where the stated outcome could move it.
var ErrNothingToSettle = fault.New(fault.Conflict, "nothing_to_settle", "the payment does not wait for that outcome")

// ErrOutcome: the outcome is not one that can be stated of the act.
var ErrOutcome = fault.New(fault.Invalid, "unknown_outcome", "that outcome cannot be stated")

// byHand stands as provider in what is told after a person's word.
const byHand = "by hand"

// stated is what a person can say became of an act that the provider refused for good.
var stated = []struct {
	kind    intent.Kind
	outcome string
	move    func(intent.Intent, *payment.Payment) payment.Next
}{
	{intent.Capture, "captured", func(in intent.Intent, p *payment.Payment) payment.Next { return p.CaptureSucceeded(in.ID, "") }},
	{intent.Capture, "declined", func(_ intent.Intent, p *payment.Payment) payment.Next { return p.CaptureRefused(byHand) }},
	{intent.Capture, "voided", func(_ intent.Intent, p *payment.Payment) payment.Next { return p.CaptureBarred() }},
	{intent.Void, "voided", func(_ intent.Intent, p *payment.Payment) payment.Next { return p.CaptureBarred() }},
	{intent.Refund, "refunded", func(_ intent.Intent, p *payment.Payment) payment.Next { return p.RefundSucceeded() }},
}

// Outcomes are those that can be stated of a kind of act.
func Outcomes(kind intent.Kind) []string {
	var all []string
	for _, s := range stated {
		if s.kind == kind {
			all = append(all, s.outcome)
		}
	}
	return all
}

// SettleByHand ends an act that the provider refused for good with what a person says became of it:
// a refund that was paid back by other means, a capture that the provider knows by telephone.
type SettleByHand struct{ work Work }

// NewSettleByHand makes the use case.
func NewSettleByHand(work Work) *SettleByHand { return &SettleByHand{work} }

// Handle moves the payment and tells the world what the worker would have told, in one transaction
// with the end of the intent. The provider is not asked. It fails with ErrOutcome, with
// ErrNothingToSettle, and with a Conflict when the intent has moved on.
func (h *SettleByHand) Handle(ctx context.Context, in intent.Intent, outcome string) error {
	for _, s := range stated {
		if s.kind == in.Kind && s.outcome == outcome {
			return h.settle(ctx, in, s.move)
		}
	}
	return ErrOutcome.Because(fmt.Errorf("%q of a %s: say %s", outcome, in.Kind, strings.Join(Outcomes(in.Kind), ", ")))
}

func (h *SettleByHand) settle(ctx context.Context, in intent.Intent, move func(intent.Intent, *payment.Payment) payment.Next) error {
	return h.work.Do(ctx, func(tx Tx) error {
		known, err := tx.Payments(ctx, in.OrderID)
		if err != nil {
			return fmt.Errorf("settle %s by hand: %w", in.ID, err)
		}
		p := known[in.OrderID]
		if p == nil {
			return ErrNothingToSettle
		}
		next := found(tx, in, p, func(p *payment.Payment) payment.Next { return move(in, p) })
		if next == payment.Nothing {
			return ErrNothingToSettle.Because(fmt.Errorf("it is %s", p.State()))
		}
		tx.Keep(p)
		tx.Settle(in)
		return carryOut(tx, p, next, byHand)
	})
}
