package smtpmail

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	gomail "github.com/wneessen/go-mail"
)

// Breaker says when the mail server is left alone. Only a server that cannot be reached, does not
// answer in time or says that it is closing (421) counts: one letter that is put off or refused
// must not stop the others.
type Breaker struct {
	After    uint32             // failures in a row that open the circuit; 5 when zero
	Pause    time.Duration      // how long it stays open before one letter is let through; 5 s when zero
	OnChange func(state string) // gets closed, open or half-open; may be nil
}

func newCircuit(b Breaker) *gobreaker.CircuitBreaker[struct{}] {
	after := cmp.Or(b.After, 5)
	settings := gobreaker.Settings{
		Name:        "smtp",
		Timeout:     cmp.Or(b.Pause, 5*time.Second),
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= after },
		// Whether the caller is shutting down says nothing about the server.
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
		IsSuccessful: answered,
	}
	if b.OnChange != nil {
		settings.OnStateChange = func(_ string, _, to gobreaker.State) { b.OnChange(to.String()) }
	}
	return gobreaker.NewCircuitBreaker[struct{}](settings)
}

// answered says whether the server is at work, whatever it thinks of the letter.
func answered(err error) bool {
	if !errors.Is(err, ErrUnavailable) {
		return true
	}
	var failed *gomail.SendError
	return errors.As(err, &failed) && failed.ErrorCode() >= 400 && failed.ErrorCode() != 421
}

// guarded carries a letter unless the circuit is open; then it fails with ErrUnavailable at once.
func (p *pool) guarded(carry func() error) error {
	_, err := p.circuit.Execute(func() (struct{}, error) { return struct{}{}, carry() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return ErrUnavailable.Because(err)
	}
	return err
}
