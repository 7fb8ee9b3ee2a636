package simulator

import (
	"time"

	"millrace/domain/fault"
)

// Faults of undoing.
var (
	ErrCaptured = fault.New(fault.Conflict, "already_captured", "the capture has happened and can only be refunded")
	ErrRunning  = fault.New(fault.Conflict, "capture_running", "the capture is running and can no longer be stopped")
	ErrExceeds  = fault.New(fault.Conflict, "amount_exceeds_capture", "the amount is above what is left of the capture")
)

// RefundRequest asks to give captured money back. Key makes it happen once at most.
type RefundRequest struct {
	Key        string
	CaptureKey string
	Amount     int64 // minor units, above zero
}

// Refund is money that was given back.
type Refund struct {
	ID         string    `json:"id"`
	Key        string    `json:"key"`
	CaptureKey string    `json:"captureKey"`
	OrderID    string    `json:"orderId"`
	Amount     int64     `json:"amount"`
	Currency   string    `json:"currency"`
	Status     string    `json:"status"` // always refunded
	At         time.Time `json:"at"`
}

// Void bars a capture for ever, also one that was never seen; asked twice, it says yes twice. It
// fails with ErrCaptured or ErrRunning. A declined capture will never happen, so there is nothing
// to bar.
func (s *Simulator) Void(captureKey string) error {
	if err := checkKey(captureKey); err != nil {
		return err
	}
	now := s.now()
	s.mu.Lock()
	c, seen := s.book.capture(captureKey)
	var err error
	if !seen {
		err = s.record(entry{Op: opVoid, Key: captureKey, At: now})
	}
	s.mu.Unlock()
	if err == nil {
		err = s.settled()
	}
	switch {
	case err != nil || !seen:
		return err
	case c.status(now) == StatusPending:
		return ErrRunning
	case c.captured(now):
		return ErrCaptured
	}
	return nil
}

// Refund gives money of a capture back. The same key with the same request gives the same refund
// again. It fails with ErrNotFound when nothing was captured, ErrRunning while the capture is
// pending, ErrExceeds, ErrKeyReused, ErrStorage or a fault of kind Invalid.
func (s *Simulator) Refund(r RefundRequest) (Refund, error) {
	if err := checkKey(r.Key); err != nil {
		return Refund{}, err
	}
	if r.Amount <= 0 {
		return Refund{}, fault.Invalidf("invalid_amount", "/amount", "amount must be above zero")
	}
	s.mu.Lock()
	done, c, err := s.repay(r)
	s.mu.Unlock()
	if failed := s.settled(); failed != nil {
		return Refund{}, failed
	}
	if err != nil {
		return Refund{}, err
	}
	id, _ := identity("ref_", done.key)
	return Refund{
		ID: id, Key: done.key, CaptureKey: c.key, OrderID: c.orderID, Amount: done.amount,
		Currency: c.currency.Value(), Status: "refunded", At: moment(done.at),
	}, nil
}

// repay finds the refund of an earlier request, or makes it. The caller holds mu.
func (s *Simulator) repay(r RefundRequest) (refund, capture, error) {
	now := s.now()
	if done, ok := s.book.refund(r.Key); ok {
		c := s.book.captures[done.capture]
		if c.key != r.CaptureKey || done.amount != r.Amount {
			return refund{}, capture{}, ErrKeyReused
		}
		return done, c, nil
	}
	c, ok := s.book.capture(r.CaptureKey)
	switch {
	case ok && c.status(now) == StatusPending:
		return refund{}, c, ErrRunning
	case !ok || !c.captured(now):
		return refund{}, c, ErrNotFound
	case r.Amount > c.amount-c.refunded:
		return refund{}, c, ErrExceeds
	}
	err := s.record(entry{Op: opRefund, Key: r.Key, CaptureKey: r.CaptureKey, Amount: r.Amount, At: now})
	done, _ := s.book.refund(r.Key)
	return done, c, err
}
