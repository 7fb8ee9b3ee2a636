package kafkabus

import (
	"slices"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
)

// usualNames are those of the headers that nearly every record has, so that reading one makes no new strings.
var usualNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"eventId", "traceId", "spanId", "correlationId", "causationId", "eventType", "occurredAt", "producer", "content-type",
		"ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion", "ce_subject", "traceparent", "tracestate",
	} {
		names[name] = name
	}
	return names
}()

// headers are a record's headers as names and values by turns: what is kept of them until a message is made.
type headers []string

// headersOf copies a record's headers, all values into one string.
func headersOf(record *sarama.ConsumerMessage) headers {
	size := 0
	for _, h := range record.Headers {
		if h != nil {
			size += len(h.Value)
		}
	}
	var values strings.Builder
	values.Grow(size)
	for _, h := range record.Headers {
		if h != nil {
			values.Write(h.Value)
		}
	}
	all, rest := make(headers, 0, 2*len(record.Headers)), values.String()
	for _, h := range record.Headers {
		if h == nil {
			continue
		}
		name, usual := usualNames[string(h.Key)]
		if !usual {
			name = string(h.Key)
		}
		all = append(all, name, rest[:len(h.Value)])
		rest = rest[len(h.Value):]
	}
	return all
}

// get gives the value of a header, of several the last; empty when there is none.
func (h headers) get(name string) (value string) {
	for i := 0; i < len(h); i += 2 {
		if h[i] == name {
			value = h[i+1]
		}
	}
	return value
}

// metadata makes a message's metadata of them, new each time.
func (h headers) metadata() message.Metadata {
	m := make(message.Metadata, len(h)/2)
	for i := 0; i < len(h); i += 2 {
		m[h[i]] = h[i+1]
	}
	return m
}

// recordHeaders makes headers of a message's metadata, sorted by name, in one piece of memory. The id goes
// along as eventId where metadata has none.
func recordHeaders(msg *message.Message) []sarama.RecordHeader {
	var room [32]string // on the stack
	names, size := room[:0], 0
	for name, value := range msg.Metadata {
		names = append(names, name)
		size += len(name) + len(value)
	}
	slices.Sort(names)
	text := make([]byte, 0, size+len(headerEventID)+len(msg.UUID))
	all := make([]sarama.RecordHeader, 0, len(names)+1)
	add := func(name, value string) {
		key := len(text)
		text = append(text, name...)
		middle := len(text)
		text = append(text, value...)
		all = append(all, sarama.RecordHeader{Key: text[key:middle:middle], Value: text[middle:len(text):len(text)]})
	}
	if msg.Metadata[headerEventID] == "" && msg.UUID != "" {
		add(headerEventID, msg.UUID)
	}
	for _, name := range names {
		add(name, msg.Metadata[name])
	}
	return all
}
