package payment

import (
	"context"
	"fmt"

	"millrace/domain/intent"
	"millrace/domain/payment"
)

// SettleVoid is the worker's half of barring a charge whose fate is not known.
type SettleVoid struct {
	work     Work
	provider Provider
}

// NewSettleVoid makes the use case.
func NewSettleVoid(work Work, provider Provider) *SettleVoid { return &SettleVoid{work, provider} }

// Handle asks the provider to bar the capture. When that is refused, because the capture has
// happened or is running, nothing is decided here: the capture's own intent finds its fate, and
// gives the money back.
func (h *SettleVoid) Handle(ctx context.Context, in intent.Intent) error {
	barred, err := h.provider.Void(ctx, intent.Key(in.OrderID, intent.Capture))
	if err != nil {
		return fmt.Errorf("void %s: %w", in.ID, err)
	}
	return settle(ctx, h.work, in, h.provider.Name(), func(p *payment.Payment) payment.Next {
		if !barred {
			return payment.Nothing
		}
		return p.CaptureBarred()
	})
}

// SettleRefund is the worker's half of giving money back.
type SettleRefund struct {
	work     Work
	payments Payments
	provider Provider
}

// NewSettleRefund makes the use case.
func NewSettleRefund(work Work, payments Payments, provider Provider) *SettleRefund {
	return &SettleRefund{work, payments, provider}
}

// Handle refunds the whole capture, once for the intent's key.
func (h *SettleRefund) Handle(ctx context.Context, in intent.Intent) error {
	p, err := h.payments.Payment(ctx, in.OrderID)
	if err != nil {
		return err
	}
	if err := h.provider.Refund(ctx, in.ID, intent.Key(in.OrderID, intent.Capture), p.Amount()); err != nil {
		return fmt.Errorf("refund %s: %w", in.ID, err)
	}
	return settle(ctx, h.work, in, h.provider.Name(), (*payment.Payment).RefundSucceeded)
}

// settle is the second transaction of an intent: the payment moves, the intent ends, the world
// is told.
func settle(ctx context.Context, work Work, in intent.Intent, provider string, move func(*payment.Payment) payment.Next) error {
	return work.Do(ctx, func(tx Tx) error {
		known, err := tx.Payments(ctx, in.OrderID)
		if err != nil {
			return fmt.Errorf("settle %s: %w", in.ID, err)
		}
		p := known[in.OrderID]
		next := found(tx, in, p, move)
		tx.Keep(p)
		tx.Settle(in)
		return carryOut(tx, p, next, provider)
	})
}

// found moves the payment by what one act came to. While a charge is undone two acts ask for its fate, its
// own and the void: when one of them has found it, the other has nothing left to do.
func found(tx Tx, in intent.Intent, p *payment.Payment, move func(*payment.Payment) payment.Next) payment.Next {
	undoing := p.State() == payment.Undoing
	next := move(p)
	if undoing && !p.Unsettled() {
		other := intent.Capture
		if in.Kind == intent.Capture {
			other = intent.Void
		}
		tx.Close(intent.Key(p.OrderID(), other))
	}
	return next
}
