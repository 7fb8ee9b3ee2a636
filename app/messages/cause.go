package messages

import "context"

// Cause is what led to the work in hand: a delivered message, a timer, an intent, or, when all
// is empty, a request. The unit of work reads it to keep the inbox, to derive ids of what is
// published, and to stamp headers. Handlers never look at it.
type Cause struct {
	// Consumer and MessageID name the inbox row. Work with the same pair takes effect once.
	// When Consumer is empty there is no inbox row.
	Consumer  string
	MessageID string

	// Seed is what ids of published messages are derived from; MessageID when empty. When both
	// are empty the work began with a request, and new ids are made.
	Seed string

	CausationID   string // eventId of the message that led here, for the header
	CorrelationID string // the order, for log lines and the header
	Handler       string // who handles it, as in metrics
	Type          string // the delivered message's type
	Topic         string // where it was read, for the journal and the dead letter
	Partition     int32
	Offset        int64

	Delivery Delivery // nil unless a consumer has a record in hand
	Redrive  *Redrive // nil unless it was sent again; it is not taken for a duplicate then
}

// Delivery is the record that a consumer has in hand, for a unit of work that must park it.
type Delivery interface {
	// Letter gives the record with everything that is needed to handle it later.
	Letter() DeadLetter
	// Parked says that it was parked instead of handled. It is called after the commit.
	Parked()
}

type causeKey struct{}

// WithCause hands a cause down to the unit of work.
func WithCause(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf gives the cause of the work in hand; the zero Cause stands for a request.
func CauseOf(ctx context.Context) Cause {
	c, _ := ctx.Value(causeKey{}).(Cause)
	return c
}
