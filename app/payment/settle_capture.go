package payment

import (
	"context"
	"fmt"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/payment"
)

// ErrPending: the provider has not decided yet. The worker asks again later.
var ErrPending = fault.New(fault.Unavailable, "capture_pending", "the provider has not decided yet")

// SettleCapture is the worker's half of a charge: it calls the provider with the intent's key and
// writes what came of it. It may run again at any point: the key stays the same.
type SettleCapture struct {
	work     Work
	payments Payments
	provider Provider
	observer Observer
}

// NewSettleCapture makes the use case.
func NewSettleCapture(work Work, payments Payments, provider Provider, observer Observer) *SettleCapture {
	return &SettleCapture{work, payments, provider, observer}
}

// Handle finds the fate of the charge and settles the intent. It fails with a fault of kind
// Unavailable while the fate is not known.
func (h *SettleCapture) Handle(ctx context.Context, in intent.Intent) error {
	p, err := h.payments.Payment(ctx, in.OrderID)
	if err != nil {
		return err
	}
	var fate Fate
	if p.Unsettled() {
		if fate, err = h.fate(ctx, in, p); err != nil {
			return fmt.Errorf("capture %s: %w", in.ID, err)
		}
	}
	var next payment.Next
	err = settle(ctx, h.work, in, h.provider.Name(), func(p *payment.Payment) payment.Next {
		next = apply(p, fate)
		return next
	})
	if err == nil && next == payment.TellDeclined {
		h.observer.PaymentFailed(messages.ReasonPaymentDeclined)
	}
	return err
}

// fate asks for the outcome of earlier attempts before it charges: after a time-out the money
// may have been taken. Charging with the same key is safe too; asking is cheaper for both.
func (h *SettleCapture) fate(ctx context.Context, in intent.Intent, p *payment.Payment) (Fate, error) {
	if undoing := p.State() == payment.Undoing; undoing || in.Attempts > 1 {
		found, err := h.provider.Find(ctx, in.ID)
		if err != nil || found.State != FateUnknown {
			return decided(found, err)
		}
		if undoing {
			return found, ErrPending // never seen: the void will bar it; do not charge what is being undone
		}
	}
	return decided(h.provider.Capture(ctx, Charge{Key: in.ID, OrderID: in.OrderID, Amount: p.Amount(), Method: p.Method()}))
}

func decided(f Fate, err error) (Fate, error) {
	if err == nil && (f.State == FatePending || f.State == FateUnknown) {
		err = ErrPending
	}
	return f, err
}

func apply(p *payment.Payment, f Fate) payment.Next {
	switch f.State {
	case FateCaptured:
		return p.CaptureSucceeded(f.ID, f.AuthCode)
	case FateDeclined:
		return p.CaptureRefused(f.Reason)
	case FateVoided:
		return p.CaptureBarred()
	default:
		return payment.Nothing
	}
}
