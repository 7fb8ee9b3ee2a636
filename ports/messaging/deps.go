package messaging

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"millrace/app/messages"
)

// DeadLetters is where refused messages are kept. Keep writes the dead letter, the inbox outcome
// "dead" and the outbox row for <service>.dlq in one transaction; keeping the same one twice has
// one effect, and keeping one whose message was handled meanwhile has none. One that was sent again
// (Redrive) goes back to where it was, unless it has moved on since. When it fails the message is
// delivered again: nothing is lost.
type DeadLetters interface {
	Keep(ctx context.Context, d messages.DeadLetter) error
}

// Circuit is the breaker of what every handler of a service needs: its database. Enter waits, while
// the circuit is open, until an attempt may be made, and fails only with the error of a ctx that
// ended. The attempt is made with the context that it gives; leave is told once how it ended.
type Circuit interface {
	Enter(ctx context.Context) (inside context.Context, leave func(error), err error)
}

// Observer is told what became of each delivery. It is called by many goroutines at once.
type Observer interface {
	// Handled: a delivery is over. The handler is the consumer group where no handler was
	// concerned, and the outcome one of the Outcome constants.
	Handled(handler, outcome string, took time.Duration)
	// DeadLettered: a dead letter was kept.
	DeadLettered(handler string)
	// Unknown: a valid envelope of a type that this build does not know was acknowledged. The type
	// is whatever somebody wrote: something for a log, and no label of a metric.
	Unknown(service, typ string)
}

// What became of a delivery.
const (
	OutcomeDone    = "done"    // its handler succeeded
	OutcomeDead    = "dead"    // it was kept as a dead letter
	OutcomeParked  = "parked"  // it waits behind a dead letter of its order
	OutcomeSkipped = "skipped" // the service has no handler for it
	OutcomeUnknown = "unknown" // this build does not know its type
	OutcomeFenced  = "fenced"  // its partition was lost before it began: another reads it
	OutcomeAgain   = "again"   // it was given back, and will be delivered again
)

// Config is what a router needs from outside.
type Config struct {
	// Subscriber makes the member of a consumer group. The context of its messages ends when the
	// message is no longer ours; acknowledging it after that has no effect. It may ask once of each
	// record, by its value, whether it is unwanted, and does not deliver it then: it has been counted.
	Subscriber func(group string, unwanted func(value []byte) bool) (message.Subscriber, error)
	// Origin says where a delivered message lies, its key (nil when it has none) and its time.
	Origin      func(*message.Message) (topic string, partition int32, offset int64, key []byte, at time.Time)
	DeadLetters DeadLetters

	Circuit  Circuit              // nil for one that is always closed
	Observer Observer             // nil for none
	Tracing  trace.TracerProvider // nil for none
	Logger   *slog.Logger         // nil for none
	Clock    func() time.Time     // nil for time.Now
	Policy   Policy               // zero fields take the defaults
}

func (c Config) complete() (Config, error) {
	if c.Subscriber == nil || c.Origin == nil || c.DeadLetters == nil {
		return c, errors.New("a router needs Subscriber, Origin and DeadLetters")
	}
	if c.Circuit == nil {
		c.Circuit = closed{}
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Tracing == nil {
		c.Tracing = noop.NewTracerProvider()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Policy = c.Policy.withDefaults()
	return c, nil
}

type closed struct{}

func (closed) Enter(ctx context.Context) (context.Context, func(error), error) {
	return ctx, func(error) {}, nil
}

type nobody struct{}

func (nobody) Handled(string, string, time.Duration) {}
func (nobody) DeadLettered(string)                   {}
func (nobody) Unknown(string, string)                {}
