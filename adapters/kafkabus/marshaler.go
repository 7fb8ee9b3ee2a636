package kafkabus

import (
	"fmt"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"millrace/app/messages"
)

// Headers that the bus itself reads: the message's id, and the order's id, which is the key.
const (
	headerEventID       = "eventId"
	headerCorrelationID = "correlationId"
)

// marshaler maps messages to records: the value is the payload untouched, the key is the metadata
// entry correlationId, and every metadata entry is a header.
//
// Watermill's own has no key, loses one on the way through a dead letter, and reads records of
// others as messages without an id.
type marshaler struct{}

// isTopic is Kafka's own rule for names.
func isTopic(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return 1 <= len(name) && len(name) <= 249
}

// Marshal makes a record for topic. The id goes along as header eventId where metadata has none.
func (marshaler) Marshal(topic string, msg *message.Message) (*sarama.ProducerMessage, error) {
	if !isTopic(topic) { // not every broker says so: some answer that it is missing
		return nil, fmt.Errorf("%.80q: %w", topic, sarama.ErrInvalidTopic)
	}
	record := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(msg.Payload)}
	if key := msg.Metadata.Get(headerCorrelationID); key != "" {
		record.Key = sarama.StringEncoder(key)
	}
	record.Headers = recordHeaders(msg)
	return record, nil
}

// Unmarshal makes a message of any record whatever. It never fails, because a record that it
// refused would block its partition for ever; what is wrong with a record is found by its reader.
func (marshaler) Unmarshal(record *sarama.ConsumerMessage) (*message.Message, error) {
	return draftOf(record).message(), nil
}

// draft is what messages are made of, one for each delivery: a receiver may write on its message, and must
// leave the payload as it is.
type draft struct {
	id      string
	payload []byte
	headers headers
}

func draftOf(record *sarama.ConsumerMessage) draft {
	d := draft{payload: record.Value, headers: headersOf(record)}
	d.id = d.headers.get(headerEventID)
	if len(d.id) != 36 || uuid.Validate(d.id) != nil {
		d.id = messages.ForeignID(record.Topic, record.Partition, record.Offset, record.Timestamp)
	}
	return d
}

func (d draft) message() *message.Message {
	msg := message.NewMessage(d.id, d.payload)
	msg.Metadata = d.headers.metadata()
	return msg
}
