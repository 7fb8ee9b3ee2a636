package messaging

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"millrace/app/messages"
	"millrace/domain/fault"
)

// deadLetterPublisher is what Watermill's poison queue publishes to: it keeps the message with
// everything known about it, instead of sending it anywhere.
type deadLetterPublisher struct{ consumer }

var _ message.Publisher = deadLetterPublisher{}

// Publish keeps each message as a dead letter. It is not cut short by closing: a message that was
// refused just before is kept, or delivered again.
func (p deadLetterPublisher) Publish(_ string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		d := deliveryOf(msg)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(msg.Context()), p.Policy.KeepTimeout)
		err := p.DeadLetters.Keep(ctx, d.Letter())
		cancel()
		if err != nil {
			p.Logger.ErrorContext(ctx, "a dead letter could not be kept, the message will come again", "handler", d.label(), "error", err)
			return err
		}
		d.outcome = OutcomeDead
		p.Observer.DeadLettered(d.label())
		p.Logger.ErrorContext(ctx, "a message became a dead letter", "handler", d.label(),
			"attempts", d.attempts, "code", reason(d.err), "error", d.err)
	}
	return nil
}

// Close does nothing.
func (deadLetterPublisher) Close() error { return nil }

// Letter says everything about a message that is refused, or parked. One that no handler was given is named by its
// place: whatever id such a record claims may be another message's, which would then be taken for
// a duplicate of it and be lost.
func (d *delivery) Letter() messages.DeadLetter {
	id := d.id
	if !d.opened {
		id = d.place()
	}
	letter := messages.DeadLetter{
		ID:        messages.DerivedID(id, "dead_letter/"+d.group.Name, 0),
		MessageID: id,
		OrderID:   d.orderID,
		Service:   d.service,
		Consumer:  d.group.Name,
		Handler:   d.label(),
		Type:      printable(d.envelope.Type, 100),
		Topic:     d.topic,
		Partition: d.partition,
		Offset:    d.offset,
		Key:       slices.Clone(d.key),
		Payload:   slices.Clone(d.msg.Payload),
		Headers:   make(map[string]string, len(d.msg.Metadata)),
		Reason:    reason(d.err),
		Attempts:  d.attempts,
		FirstAt:   d.firstAt,
		LastAt:    d.lastAt,
		Redrive:   d.redrive,
	}
	if d.redrive != nil {
		letter.MessageID = d.redrive.MessageID
	}
	if d.err != nil {
		letter.Error = printable(d.err.Error(), 8<<10)
	}
	headers := maps.Clone(d.msg.Metadata)
	for _, ours := range []string{ // written by Watermill just now, and said better above
		middleware.ReasonForPoisonedKey, middleware.PoisonedTopicKey,
		middleware.PoisonedHandlerKey, middleware.PoisonedSubscriberKey,
	} {
		delete(headers, ours)
	}
	for name, value := range headers {
		letter.Headers[printable(name, math.MaxInt)] = printable(value, math.MaxInt)
	}
	return letter
}

// reason is the fault's code, or "panic".
func reason(err error) string {
	var panicked middleware.RecoveredPanicError
	if errors.As(err, &panicked) {
		return "panic"
	}
	return fault.CodeOf(err)
}
