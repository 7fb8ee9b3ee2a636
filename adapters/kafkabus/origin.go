package kafkabus

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

type topicKey struct{}

func withTopic(ctx context.Context, topic string) context.Context {
	return context.WithValue(ctx, topicKey{}, topic)
}

// Origin says where a message that a Subscriber delivered lies in Kafka, its key as it was
// written (nil when it has none) and the record's timestamp.
func Origin(msg *message.Message) (topic string, partition int32, offset int64, key []byte, at time.Time) {
	ctx := msg.Context()
	topic, _ = ctx.Value(topicKey{}).(string)
	partition, _ = kafka.MessagePartitionFromCtx(ctx)
	offset, _ = kafka.MessagePartitionOffsetFromCtx(ctx)
	key, _ = kafka.MessageKeyFromCtx(ctx)
	at, _ = kafka.MessageTimestampFromCtx(ctx)
	return topic, partition, offset, key, at
}
