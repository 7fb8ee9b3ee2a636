package psp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/adapters/psp/simulator"
	"millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/money"
)

// InProcess is the simulator without HTTP between: for benchmarks that measure the system and not
// its neighbours. It is a payment.Provider with the fates, faults and time-out of Client.
type InProcess struct {
	provider *simulator.Simulator
	timeout  time.Duration
}

var _ payment.Provider = (*InProcess)(nil)

// NewInProcess wraps a simulator, which stays the caller's to close. A timeout of zero is 5 s.
func NewInProcess(s *simulator.Simulator, timeout time.Duration) *InProcess {
	return &InProcess{s, cmp.Or(timeout, defaultTimeout)}
}

// Name is the provider's name in events.
func (p *InProcess) Name() string { return "simulator" }

// Capture charges a card; see Client.Capture.
func (p *InProcess) Capture(ctx context.Context, charge payment.Charge) (payment.Fate, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c, err := p.provider.Capture(ctx, simulator.CaptureRequest{
		Key: charge.Key, OrderID: charge.OrderID, Amount: charge.Amount.Minor,
		Currency: charge.Amount.Currency.String(), Method: charge.Method,
	})
	if errors.Is(err, simulator.ErrVoided) {
		return payment.Fate{State: payment.FateVoided}, nil
	}
	if err != nil {
		return payment.Fate{}, fmt.Errorf("capture %s: %w", charge.Key, translated(err))
	}
	return fateOf(c), nil
}

// Void bars a capture; see Client.Void.
func (p *InProcess) Void(_ context.Context, captureKey string) (bool, error) {
	err := p.provider.Void(captureKey)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, simulator.ErrCaptured) || errors.Is(err, simulator.ErrRunning):
		return false, nil
	}
	return false, fmt.Errorf("void %s: %w", captureKey, translated(err))
}

// Refund gives captured money back; see Client.Refund.
func (p *InProcess) Refund(_ context.Context, key, captureKey string, amount money.Amount) error {
	_, err := p.provider.Refund(simulator.RefundRequest{Key: key, CaptureKey: captureKey, Amount: amount.Minor})
	if err != nil {
		return fmt.Errorf("refund %s: %w", key, translated(err))
	}
	return nil
}

// Find asks what became of a capture; see Client.Find.
func (p *InProcess) Find(_ context.Context, captureKey string) (payment.Fate, error) {
	c, err := p.provider.Find(captureKey)
	if errors.Is(err, simulator.ErrNotFound) {
		return payment.Fate{State: payment.FateUnknown}, nil
	}
	if err != nil {
		return payment.Fate{}, fmt.Errorf("find %s: %w", captureKey, translated(err))
	}
	return fateOf(c), nil
}

func fateOf(c simulator.Capture) payment.Fate {
	return fate(states[c.Status], c.ID, c.AuthCode, c.Reason)
}

func translated(err error) error {
	switch {
	case errors.Is(err, simulator.ErrNoAnswer), errors.Is(err, simulator.ErrRunning), fault.KindOf(err) == fault.Unavailable:
		return ErrUnknownOutcome.Because(err)
	default:
		return ErrRefused.Because(err)
	}
}
