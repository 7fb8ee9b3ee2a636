package messaging

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/order"
)

// Faults of what arrives, beside those of the envelope. Each is Invalid: the record stays wrong.
var (
	ErrMissingKey  = fault.New(fault.Invalid, "missing_key", "the record has no key, which must be its order's id")
	ErrKeyMismatch = fault.New(fault.Invalid, "key_mismatch", "the record's key is not its order's id")
	ErrWrongTopic  = fault.New(fault.Invalid, "wrong_topic", "the message type does not belong on this topic")
)

// delivery is one message in hand: what was read of it, and what became of it.
type delivery struct {
	msg      *message.Message
	service  string
	group    Group
	handler  *Handler // nil when the service has none for it
	envelope messages.Envelope
	broken   error // why the envelope could not be read

	redrive   *messages.Redrive // it was sent again, to this handler alone
	id        string            // names it in the inbox
	opened    bool              // its handler was given it
	orderID   string            // from the key; empty when that is not one
	topic     string
	partition int32
	offset    int64
	key       []byte
	at        time.Time

	attempts int
	counted  int // attempts that failed for a reason of the message's own
	firstAt  time.Time
	lastAt   time.Time
	err      error // of the last attempt
	outcome  string
}

// label names the handler where there is one, else the consumer group.
func (d *delivery) label() string {
	if d.handler != nil {
		return d.handler.Name
	}
	return d.group.Name
}

type deliveryKey struct{}

// deliveryOf finds what receive put there; every other middleware runs inside it.
func deliveryOf(msg *message.Message) *delivery {
	d, _ := msg.Context().Value(deliveryKey{}).(*delivery)
	return d
}

// receive reads the envelope and tells the unit of work what led to it.
//
// The inbox row of a message is named by its eventId, that of a record without a readable envelope
// by its place in Kafka and its time.
func (c consumer) receive(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		d := &delivery{msg: msg, service: c.service.Name, group: c.groups[message.HandlerNameFromCtx(msg.Context())], outcome: OutcomeDone}
		d.topic, d.partition, d.offset, d.key, d.at = c.Origin(msg)
		d.envelope, d.broken = messages.Open(msg.Payload)
		if d.group.redrive {
			c.again(d, msg)
		}
		if id, err := order.ParseID(string(d.key)); err == nil {
			d.orderID = string(id)
		}
		d.id = d.envelope.EventID
		if d.broken != nil {
			d.id = d.place()
			if d.envelope.Type == "" {
				d.envelope.Type = msg.Metadata.Get("eventType")
			}
		}
		for i, h := range d.group.Handlers {
			if h.Message == d.envelope.Type {
				d.handler = &d.group.Handlers[i]
			}
		}
		if d.redrive != nil {
			d.readdress()
		}
		ctx := context.WithValue(msg.Context(), deliveryKey{}, d)
		msg.SetContext(messages.WithCause(ctx, d.cause()))
		return next(msg)
	}
}

func (d *delivery) cause() messages.Cause {
	return messages.Cause{
		Consumer:      d.group.Name,
		MessageID:     d.id,
		CausationID:   d.id,
		CorrelationID: d.orderID,
		Handler:       d.label(),
		Type:          printable(d.envelope.Type, 100),
		Topic:         d.topic,
		Partition:     d.partition,
		Offset:        d.offset,
		Delivery:      d,
		Redrive:       d.redrive,
	}
}

var _ messages.Delivery = (*delivery)(nil)

// Parked notes that it waits.
func (d *delivery) Parked() { d.outcome = OutcomeParked }

// admit refuses what no handler should see, and lets pass unhandled what is not for this service:
// a newer build may send types that this one does not know.
func (c consumer) admit(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		d := deliveryOf(msg)
		if d.broken != nil {
			return nil, d.broken
		}
		spec, known := messages.SpecOf(d.envelope.Type)
		switch {
		case !known:
			d.outcome = OutcomeUnknown
			c.Observer.Unknown(c.service.Name, d.envelope.Type)
			c.Logger.WarnContext(msg.Context(), "a message of an unknown type was acknowledged", "group", d.group.Name)
		case spec.Topic != d.group.Topic:
			return nil, ErrWrongTopic.Because(fmt.Errorf("%s belongs on %s, not on %s", d.envelope.Type, spec.Topic, d.group.Topic))
		case d.handler == nil:
			d.outcome = OutcomeSkipped
		}
		return next(msg) // the cqrs processors acknowledge what they have no handler for
	}
}

// open decodes the message for its handler, and holds the key against it: a record with another
// key lies on another partition, where its order's messages do not wait for each other.
func (d *delivery) open() (messages.Message, error) {
	m, err := d.envelope.Message()
	switch {
	case err != nil:
		return nil, err
	case len(d.key) == 0:
		return nil, ErrMissingKey
	case string(d.key) != m.Order():
		return nil, ErrKeyMismatch.Because(fmt.Errorf("key %.80q, orderId %.80q", d.key, m.Order()))
	}
	d.opened = true
	return m, nil
}

// place names the record by where it lies, and since when.
func (d *delivery) place() string { return messages.ForeignID(d.topic, d.partition, d.offset, d.at) }

// printable makes text of a stranger fit for a database and a log: valid UTF-8 without zero
// bytes, and not longer than limit bytes.
func printable(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
