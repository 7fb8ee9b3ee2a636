package messaging

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/cenkalti/backoff/v5"

	"millrace/app/messages"
	"millrace/domain/fault"
)

// Policy is how long a consumer tries. An attempt that fails because something is away (see
// verdict) is repeated for as long as the message is ours and never counts; all others count.
type Policy struct {
	Attempts       int           // of the kind that counts, before a message is a dead letter; default 5
	AttemptTimeout time.Duration // of one attempt; default 10 s
	FirstDelay     time.Duration // before the second attempt; default 100 ms, then twice as much each time
	LongestDelay   time.Duration // between attempts; default 10 s
	Jitter         float64       // part of a delay by which it is moved at random; default 0.5, negative for none
	KeepTimeout    time.Duration // of keeping a dead letter; default 10 s
	CloseTimeout   time.Duration // that closing waits for handlers in hand; default 8 s
}

// withDefaults sets what is not set. The defaults keep a message in hand for less than the minute that a rebalance
// gives a member to finish: five attempts of 10 s, with 0.1, 0.2, 0.4 and 0.8 s in between.
func (p Policy) withDefaults() Policy {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if p.Attempts == 0 {
		p.Attempts = 5
	}
	if p.Jitter == 0 {
		p.Jitter = 0.5
	}
	p.Jitter = max(0, p.Jitter)
	set(&p.AttemptTimeout, 10*time.Second)
	set(&p.FirstDelay, 100*time.Millisecond)
	set(&p.LongestDelay, 10*time.Second)
	set(&p.KeepTimeout, 10*time.Second)
	set(&p.CloseTimeout, 8*time.Second)
	return p
}

// verdict says what a failed attempt means.
//
//	Invalid, NotFound    it stays wrong however often it is tried: a dead letter at once
//	Conflict, Internal   it may work the next time: tried again, then a dead letter
//	Unavailable          something is away, which is not the message's fault: tried until it is back
//
// A time-out or a cancelled context counts as Unavailable: something did not answer, or we stop.
func verdict(err error) fault.Kind {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable
	}
	return fault.KindOf(err)
}

// middleware is the failure policy of every consumer, outermost first.
func (c consumer) middleware() ([]message.HandlerMiddleware, error) {
	poison, err := middleware.PoisonQueueWithFilter(
		deadLetterPublisher{c}, messages.DeadLetters(c.service.Name),
		// An outage, a shutdown or a lost partition fills no dead letters.
		func(err error) bool { return verdict(err) != fault.Unavailable },
	)
	if err != nil {
		return nil, err
	}
	retry := middleware.Retry{
		MaxRetries:          -1, // without end: attempt says when it is enough, by fault kind
		InitialInterval:     c.Policy.FirstDelay,
		MaxInterval:         c.Policy.LongestDelay,
		Multiplier:          2,
		RandomizationFactor: c.Policy.Jitter,
		ResetContextOnRetry: true, // or the next attempt begins with the context of the last, its time-out included
		// ShouldRetry and OnRetryHook stay unset: each of them makes the delays longer than they should be.
	}
	return []message.HandlerMiddleware{
		c.receive,        // reads the envelope once; all others ask it what they have before them
		c.trace,          // the span covers every attempt, and what is logged carries its id
		c.measure,        // sees the final outcome, whatever happens inside
		c.fence,          // a message of a lost partition is not started: another reads it
		poison,           // outside retry, which it would end after one attempt
		c.lost,           // what ended a session is no failure of its messages
		retry.Middleware, // stops waiting when the message is no longer ours
		c.pause,          // while the database is away nothing is started; outside attempt, which it must not use up
		c.attempt,        // one attempt: counted, detached from closing, its failure judged
		middleware.Timeout(c.Policy.AttemptTimeout), // per attempt
		middleware.Recoverer,                        // innermost: a panic is one failed attempt
		c.admit,                                     // refuses what no handler should see
	}, nil
}

// fence drops a message that is no longer ours. It is acknowledged, which has no effect; given
// back, it would come again and again although its partition is read by another.
func (c consumer) fence(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		if msg.Context().Err() != nil {
			d := deliveryOf(msg)
			d.outcome = OutcomeFenced
			return nil, nil //nolint:nilerr // the context's end is what it is about
		}
		return next(msg)
	}
}

// lost gives a plain cancellation where the retry gave up because the message is no longer ours. Left to
// itself it gives the context's cause, and sarama's causes are errors: a member that is not known, a partition
// that was taken. They would pass for a failure of the message, and make it a dead letter.
func (c consumer) lost(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		ctx := msg.Context()
		_, err := next(msg)
		if err != nil && ctx.Err() != nil && !errors.Is(err, deliveryOf(msg).err) {
			err = ctx.Err()
		}
		return nil, err
	}
}

// pause holds a message in hand for as long as the circuit of the service's database is open: no
// handler is started, no attempt is used up, and one message at a time goes through as its probe.
// The wait is as long as the outage, and ends when the message is no longer ours: a rebalance, or a
// stop, need not wait for the database.
func (c consumer) pause(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		ctx := msg.Context()
		inside, leave, err := c.Circuit.Enter(ctx)
		if err != nil {
			return nil, err
		}
		msg.SetContext(inside)
		_, err = next(msg)
		msg.SetContext(ctx) // what is done with the message from here on is not part of this attempt
		leave(err)
		return nil, err
	}
}

// attempt counts, and marks a failure that must not be tried again. The handler's context does
// not end when the router closes or the partition is lost, so that work in hand is finished; the
// retry around it still sees both.
func (c consumer) attempt(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		d := deliveryOf(msg)
		d.attempts++
		d.lastAt = c.Clock()
		if d.attempts == 1 {
			d.firstAt = d.lastAt
		}
		ctx := msg.Context()
		msg.SetContext(context.WithoutCancel(ctx))
		_, err := next(msg)
		if err == nil {
			return nil, nil
		}
		d.err = err
		kind := verdict(err)
		if kind != fault.Unavailable {
			d.counted++
		}
		if kind == fault.Invalid || kind == fault.NotFound || d.counted >= c.Policy.Attempts {
			return nil, backoff.Permanent(err)
		}
		c.Logger.WarnContext(ctx, "an attempt failed and is repeated", "handler", d.label(),
			"attempt", d.attempts, "kind", kind.String(), "code", fault.CodeOf(err), "error", err)
		return nil, err
	}
}

// measure tells the observer how a delivery ended.
func (c consumer) measure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		d := deliveryOf(msg)
		from := c.Clock()
		_, err := next(msg)
		if err != nil {
			d.outcome = OutcomeAgain
		}
		c.Observer.Handled(d.label(), d.outcome, c.Clock().Sub(from))
		return nil, err
	}
}
