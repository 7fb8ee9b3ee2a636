package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"millrace/domain/fault"
)

// MaxBytes is the size above which a record is not looked at: a hundred items fit in 20 KiB.
const MaxBytes = 1 << 20

// Envelope is the value of every Kafka record.
type Envelope struct {
	EventID    string          `json:"eventId"`    // UUID: version 7 from a request, 5 from a cause
	TraceID    string          `json:"traceId"`    // 32 hex digits, W3C Trace Context
	Type       string          `json:"type"`       // a name of the Catalogue
	OccurredAt time.Time       `json:"occurredAt"` // UTC
	Data       json.RawMessage `json:"data"`
}

// Faults of decoding. Each is Invalid: the bytes stay wrong however often they are read.
var (
	ErrTooLarge    = fault.New(fault.Invalid, "record_too_large", fmt.Sprintf("the record is larger than %d bytes", MaxBytes))
	ErrNotEnvelope = fault.New(fault.Invalid, "not_an_envelope", "the record is not a message envelope")
	ErrUnknownType = fault.New(fault.Invalid, "unknown_type", "the message type is not in the catalogue")
	ErrBadData     = fault.New(fault.Invalid, "bad_data", "the message's data does not have its type's shape")
)

// Seal puts m into its envelope. It cannot fail for a message of the Catalogue.
func Seal(id, traceID string, at time.Time, m Message) (Envelope, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return Envelope{}, fmt.Errorf("encode %s: %w", m.Name(), err)
	}
	return Envelope{EventID: id, TraceID: traceID, Type: m.Name(), OccurredAt: at.UTC().Truncate(time.Microsecond), Data: data}, nil
}

// Encode gives the envelope as it stands in Kafka.
func (e Envelope) Encode() ([]byte, error) {
	value, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the envelope of %s: %w", e.Type, err)
	}
	return value, nil
}

// Open reads an envelope and checks that what every message must have is there. It fails with
// ErrTooLarge or ErrNotEnvelope; the type may still be unknown to this build.
func Open(value []byte) (Envelope, error) {
	if len(value) > MaxBytes {
		return Envelope{}, ErrTooLarge
	}
	e, ok := written(value)
	if !ok {
		if err := json.Unmarshal(value, &e); err != nil {
			return Envelope{}, ErrNotEnvelope.Because(err)
		}
	}
	switch {
	case !isUUID(e.EventID):
		return e, ErrNotEnvelope.Because(fmt.Errorf("eventId %.40q is not a UUID", e.EventID))
	case e.Type == "":
		return e, ErrNotEnvelope.Because(fmt.Errorf("it has no type"))
	case e.OccurredAt.IsZero():
		return e, ErrNotEnvelope.Because(fmt.Errorf("it has no occurredAt"))
	case len(e.Data) == 0 || bytes.TrimSpace(e.Data)[0] != '{':
		return e, ErrNotEnvelope.Because(fmt.Errorf("data is not an object"))
	}
	return e, nil
}

// Message decodes the data into its type. It fails with ErrUnknownType, or with ErrBadData when
// the shape is wrong or the order's id is missing. Unknown members are skipped: a newer build
// may have added them.
func (e Envelope) Message() (Message, error) {
	spec, ok := SpecOf(e.Type)
	if !ok {
		return nil, ErrUnknownType.Because(fmt.Errorf("%.60q", e.Type))
	}
	m := spec.New()
	if err := json.Unmarshal(e.Data, m); err != nil {
		return nil, ErrBadData.Because(err)
	}
	if m.Order() == "" {
		return nil, ErrBadData.Because(fmt.Errorf("%s has no orderId", e.Type))
	}
	if c, ok := m.(checked); ok {
		if err := c.check(); err != nil {
			return nil, ErrBadData.Because(err)
		}
	}
	return m, nil
}
