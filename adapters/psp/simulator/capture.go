package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unique"

	"millrace/domain/fault"
	"millrace/domain/money"
)

// The payment methods that the simulator knows. Any other one is declined.
const (
	MethodOK          = "pm_card_ok"
	MethodDeclined    = "pm_card_declined"
	MethodTimeout     = "pm_card_timeout"     // captured, and the first caller never gets an answer
	MethodUnavailable = "pm_card_unavailable" // 503 three times, then captured
	MethodSlow        = "pm_card_slow"        // captured after Options.Slow; the answer comes then
	MethodLate        = "pm_card_late"        // pending at once, captured after Options.Late
)

// The status of a capture.
const (
	StatusPending  = "pending"
	StatusCaptured = "captured"
	StatusDeclined = "declined"
	StatusVoided   = "voided"
)

const (
	refusalsBeforeCapture = 3
	maxText               = 255 // of a key, an order id, a payment method
)

// Faults of the simulator. Their codes are the codes of its problem documents.
var (
	ErrVoided      = fault.New(fault.Conflict, "voided", "the capture was voided and can never happen")
	ErrKeyReused   = fault.New(fault.Conflict, "idempotency_key_reused", "the key was used before with another body")
	ErrUnavailable = fault.New(fault.Unavailable, "provider_unavailable", "the provider cannot work at the moment")
	ErrStorage     = fault.New(fault.Unavailable, "storage_failed", "the provider cannot write its journal")
	ErrNotFound    = fault.New(fault.NotFound, "capture_not_found", "there is no capture with that key")

	// ErrNoAnswer stands for an answer that never comes. HTTP callers see a closed connection.
	ErrNoAnswer = errors.New("the provider gave no answer")
)

// CaptureRequest asks for money. Key makes it happen once at most.
type CaptureRequest struct {
	Key      string
	OrderID  string
	Amount   int64 // minor units, above zero
	Currency string
	Method   string
}

// Capture is what the provider says of a capture.
type Capture struct {
	ID       string    `json:"id"`
	Key      string    `json:"key"`
	OrderID  string    `json:"orderId"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency"`
	Method   string    `json:"paymentMethod"`
	Status   string    `json:"status"`
	AuthCode string    `json:"authCode,omitempty"` // once captured
	Reason   string    `json:"reason,omitempty"`   // when declined
	At       time.Time `json:"at"`                 // when it was captured, will be, or was settled otherwise
}

// Capture takes the money, as the payment method decides. The same key with the same request
// gives the same capture again. It fails with ErrVoided, ErrKeyReused, ErrUnavailable,
// ErrStorage, ErrNoAnswer or a fault of kind Invalid; a declined capture is no error.
func (s *Simulator) Capture(ctx context.Context, r CaptureRequest) (Capture, error) {
	if err := r.check(); err != nil {
		return Capture{}, err
	}
	c, first, err := s.accept(r)
	if err != nil {
		return Capture{}, err
	}
	if c.state == accepted {
		switch {
		case r.Method == MethodTimeout && first:
			return Capture{}, s.hang(ctx)
		case r.Method == MethodSlow:
			if err := s.until(ctx, c.due); err != nil {
				return Capture{}, err
			}
		}
	}
	return view(c, s.now()), nil
}

// accept decides the fate of a capture, once, and returns when the decision is on disk.
func (s *Simulator) accept(r CaptureRequest) (c capture, first bool, err error) {
	s.mu.Lock()
	c, seen := s.book.capture(r.Key)
	var refused bool
	if !seen {
		e := r.decide(s.now(), s.opts, s.book.refusals[r.Key])
		refused = e.Op == opRefuse
		err = s.record(e)
		c, _ = s.book.capture(r.Key)
	}
	s.mu.Unlock()
	if err == nil {
		err = s.settled()
	}
	switch {
	case err != nil:
		return c, false, err
	case refused:
		return c, false, ErrUnavailable
	case c.state == voided:
		return c, false, ErrVoided
	case !c.answers(r):
		return c, false, ErrKeyReused
	}
	return c, !seen, nil
}

func (r CaptureRequest) decide(now int64, opts Options, refusals uint8) entry {
	e := entry{
		Op: opCapture, Key: r.Key, OrderID: r.OrderID, Amount: r.Amount,
		Currency: r.Currency, Method: r.Method, At: now, Due: now,
	}
	switch r.Method {
	case MethodOK, MethodTimeout:
	case MethodSlow:
		e.Due += opts.Slow.Microseconds()
	case MethodLate:
		e.Due += opts.Late.Microseconds()
	case MethodUnavailable:
		if refusals < refusalsBeforeCapture {
			return entry{Op: opRefuse, Key: r.Key, At: now}
		}
	default:
		e.Op, e.Due = opDecline, 0
	}
	return e
}

func (r CaptureRequest) check() error {
	if err := checkKey(r.Key); err != nil {
		return err
	}
	if r.OrderID == "" || len(r.OrderID) > maxText {
		return fault.Invalidf("invalid_order_id", "/orderId", "orderId must have 1 to %d characters", maxText)
	}
	if r.Amount <= 0 {
		return fault.Invalidf("invalid_amount", "/amount", "amount must be above zero")
	}
	if _, err := money.ParseCurrency(r.Currency); err != nil {
		return err
	}
	if r.Method == "" || len(r.Method) > maxText {
		return fault.Invalidf("invalid_payment_method", "/paymentMethod", "paymentMethod must have 1 to %d characters", maxText)
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > maxText {
		return fault.Invalidf("invalid_idempotency_key", "", "Idempotency-Key must have 1 to %d characters", maxText)
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return fault.Invalidf("invalid_idempotency_key", "", "Idempotency-Key must be printable ASCII")
		}
	}
	return nil
}

// answers says whether c came from a request like r.
func (c capture) answers(r CaptureRequest) bool {
	return c.orderID == r.OrderID && c.amount == r.Amount &&
		c.currency == unique.Make(r.Currency) && c.method == unique.Make(r.Method)
}

// hang keeps the caller until it gives up, or nearly for ever.
func (s *Simulator) hang(ctx context.Context) error {
	if err := s.pause(ctx, s.opts.Hang); err != nil {
		return err
	}
	return ErrNoAnswer
}

// until waits for a moment of the simulator's clock.
func (s *Simulator) until(ctx context.Context, due int64) error {
	for now := s.now(); now < due; now = s.now() {
		if err := s.pause(ctx, time.Duration(due-now)*time.Microsecond); err != nil {
			return err
		}
	}
	return nil
}

func (s *Simulator) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
	case <-s.closing:
		return ErrNoAnswer
	}
}

// Find tells what is known of a capture. It fails with ErrNotFound for a key that was never
// seen, or only refused: which is no promise that the capture will not come.
func (s *Simulator) Find(key string) (Capture, error) {
	s.mu.Lock()
	c, ok := s.book.capture(key)
	s.mu.Unlock()
	if err := s.settled(); err != nil {
		return Capture{}, err
	}
	if !ok {
		return Capture{}, ErrNotFound
	}
	return view(c, s.now()), nil
}

func view(c capture, now int64) Capture {
	id, code := identity("cap_", c.key)
	v := Capture{
		ID: id, Key: c.key, OrderID: c.orderID, Amount: c.amount, Currency: c.currency.Value(),
		Method: c.method.Value(), Status: c.status(now), At: moment(c.at),
	}
	switch v.Status {
	case StatusCaptured:
		v.AuthCode, v.At = code, moment(c.due)
	case StatusDeclined:
		v.Reason = "card_declined"
		if v.Method != MethodDeclined {
			v.Reason = "unknown_payment_method"
		}
	}
	return v
}
