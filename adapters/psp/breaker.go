package psp

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"millrace/domain/fault"
)

// Breaker says when the provider is left alone. One bad card must not stop all the others, so
// only failures without a single answer between them count.
type Breaker struct {
	After    uint32             // failures in a row that open the circuit; 10 when zero
	Pause    time.Duration      // how long it stays open before one call is let through; 5 s when zero
	OnChange func(state string) // gets closed, open or half-open; may be nil
}

// guard is a circuit breaker around calls.
type guard struct {
	circuit *gobreaker.CircuitBreaker[answer]
}

func newGuard(b Breaker) *guard {
	after := cmp.Or(b.After, 10)
	settings := gobreaker.Settings{
		Name:        "psp",
		Timeout:     cmp.Or(b.Pause, 5*time.Second),
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= after },
		// Whether the caller lost patience or is shutting down says nothing about the provider.
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
		IsSuccessful: func(err error) bool { return fault.KindOf(err) != fault.Unavailable },
	}
	if b.OnChange != nil {
		settings.OnStateChange = func(_ string, _, to gobreaker.State) { b.OnChange(to.String()) }
	}
	return &guard{gobreaker.NewCircuitBreaker[answer](settings)}
}

func (g *guard) call(ctx context.Context, do func() (answer, error)) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, ErrUnknownOutcome.Because(err)
	}
	a, err := g.circuit.Execute(do)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return a, ErrCircuitOpen.Because(err)
	}
	return a, err
}
