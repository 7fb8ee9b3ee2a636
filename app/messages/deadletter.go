package messages

import "time"

// DeadLetter is a delivered message that its consumer gave up on, with everything that a person
// needs to see why and to send it again. The bytes are kept as they were read.
type DeadLetter struct {
	ID        string // derived from consumer and message: keeping it twice has one effect
	MessageID string // the inbox row: its eventId, or its place in Kafka (ForeignID) when no handler was given it
	OrderID   string // empty when the record does not say which order it belongs to

	Service  string // such as "inventory-service"
	Consumer string // the consumer group
	Handler  string // the handler that refused it; the consumer group when it never got to one
	Type     string // the message's type as far as it could be read

	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Payload   []byte
	Headers   map[string]string // valid UTF-8, without zero bytes

	Reason   string // code of the fault
	Error    string // the whole chain of errors
	Attempts int
	FirstAt  time.Time // of the attempts
	LastAt   time.Time

	Redrive *Redrive // it was sent again and has failed again; nil for a new one
}
