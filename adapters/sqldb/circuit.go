package sqldb

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// CircuitConfig says when a database is left alone. Zero values stand for the defaults.
type CircuitConfig struct {
	After   uint32        // failures in a row that open the circuit; 5
	Pause   time.Duration // how long it stays open before one attempt is let through; 1 s
	Name    string        // of the database, for the log
	OnState func(string)  // hears closed, half-open or open, and may not call the circuit; may be nil
	Logger  *slog.Logger  // nil for none
}

// Circuit is the breaker in front of one service's database. Only a database that is away counts
// as a failure: not reachable, out of space, without writes, or no answer in time. One that
// refuses a row or was in the way of another transaction has answered.
//
// Who cannot wait, such as a request, is turned away by Guard while it is open. Who can, such as a
// consumer with a message in hand, stands in Enter until it is that one's turn: as the single
// probe of a half-open circuit, or with all others when it has closed.
type Circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu      sync.Mutex
	changed chan struct{} // closed when whoever waits should ask again
}

// NewCircuit makes a closed circuit.
func NewCircuit(c CircuitConfig) *Circuit {
	after, pause := cmp.Or(c.After, 5), cmp.Or(c.Pause, time.Second)
	logger := c.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	circuit := &Circuit{changed: make(chan struct{})}
	var away bool // guarded, like last, by the breaker's lock, under which all functions below are called
	var last error
	circuit.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "database",
		Timeout:      pause,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= after },
		IsSuccessful: func(err error) bool { last = err; return !isAway(err) },
		IsExcluded:   saysNothing,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && !away:
				away = true
				logger.Warn("the database is away; nothing is begun until it is back", "database", c.Name, "error", last)
			case to == gobreaker.StateClosed && away:
				away = false
				logger.Info("the database is back", "database", c.Name)
			}
			if c.OnState != nil {
				c.OnState(to.String())
			}
			if to == gobreaker.StateOpen { // it turns half-open when it is asked after its pause
				time.AfterFunc(pause+time.Millisecond, circuit.wake)
				return
			}
			circuit.wake()
		},
	})
	return circuit
}

// isAway says whether an error means that the database is not there to work with.
func isAway(err error) bool {
	return errors.Is(err, ErrAway) || errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnly) ||
		errors.Is(err, context.DeadlineExceeded)
}

// saysNothing: whoever gave up, broke, or never asked the database is no witness of it.
func saysNothing(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errBroke) || errors.Is(err, ErrNotAsked)
}

// ErrNotAsked is what a function that Guard runs gives back when it had no need of the database after all.
var ErrNotAsked = errors.New("the attempt ended without asking the database")

var errBroke = errors.New("the attempt panicked")

// visit is one attempt that Enter let in. Its context carries it, under the circuit's permit.
type visit struct{ asked atomic.Bool }

type permit struct{ circuit *Circuit }

// Enter waits until the database may be tried. The attempt is made with the context that it
// gives, in which Guard does not ask again; leave, called once, says how it ended. An attempt in
// which no Guard ran, or none that asked the database, says nothing about it, however it ended: that of a message
// which is garbage, for instance. Enter fails only with ctx's error, when ctx ends.
func (c *Circuit) Enter(ctx context.Context) (inside context.Context, leave func(error), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		changed := c.watch() // before asking, or a change in between is missed
		done, err := c.breaker.Allow()
		if err == nil {
			v := &visit{}
			return context.WithValue(ctx, permit{c}, v), c.leavingFrom(v, done), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Guard runs fn unless the circuit is open; then it fails with ErrAway at once. What fn gives it gives back, ErrNotAsked
// too. A nil Circuit guards nothing.
func (c *Circuit) Guard(ctx context.Context, fn func() error) error {
	if c == nil {
		return fn()
	}
	if v, inside := ctx.Value(permit{c}).(*visit); inside {
		err := fn()
		if !errors.Is(err, ErrNotAsked) {
			v.asked.Store(true)
		}
		return err
	}
	done, err := c.breaker.Allow()
	if err != nil {
		return ErrAway.Because(err)
	}
	leave, result := c.leaving(done), errBroke
	defer func() { leave(result) }() // also when fn panics
	result = fn()
	return result
}

// Closed says whether nothing keeps anybody from the database. That of a nil Circuit is closed.
func (c *Circuit) Closed() bool { return c == nil || c.breaker.State() == gobreaker.StateClosed }

func (c *Circuit) leavingFrom(v *visit, done func(error)) func(error) {
	leave := c.leaving(done)
	return func(err error) {
		if !v.asked.Load() {
			err = ErrNotAsked
		}
		leave(err)
	}
}

func (c *Circuit) leaving(done func(error)) func(error) {
	return func(err error) {
		done(err)
		if saysNothing(err) && c.breaker.State() == gobreaker.StateHalfOpen {
			c.wake() // the probe was none: another one may be
		}
	}
}

func (c *Circuit) watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *Circuit) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}
