package kafkabus

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// place is where a record lies, and what Kafka knows of it beside its value and headers.
type place struct {
	topic     string
	partition int32
	offset    int64
	key       []byte
	at        time.Time
}

type placeKey struct{}

func withPlace(ctx context.Context, p place) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// placeOf asks the context in which watermill-kafka delivers a message.
func placeOf(ctx context.Context, topic string) place {
	p := place{topic: topic}
	p.partition, _ = kafka.MessagePartitionFromCtx(ctx)
	p.offset, _ = kafka.MessagePartitionOffsetFromCtx(ctx)
	p.key, _ = kafka.MessageKeyFromCtx(ctx)
	p.at, _ = kafka.MessageTimestampFromCtx(ctx)
	return p
}

// Origin says where a message that a Subscriber or a Windowed delivered lies in Kafka, its key as
// it was written (nil when it has none) and the record's timestamp.
func Origin(msg *message.Message) (topic string, partition int32, offset int64, key []byte, at time.Time) {
	p, _ := msg.Context().Value(placeKey{}).(place)
	return p.topic, p.partition, p.offset, p.key, p.at
}
