package kafkabus

import (
	"context"
	"sync"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

// fence knows under which session of the consumer group each partition is read, and ends a
// message's context with that session. Without it watermill-kafka goes on delivering a message
// that is refused for as long as it is refused, although its partition is already read by another.
//
// It comes in as watermill-kafka's tracer, the one place where a session can be seen.
type fence struct {
	joined   func() // called at the beginning of every session
	mu       sync.Mutex
	sessions map[claim]context.Context
}

type claim struct {
	topic     string
	partition int32
}

var _ kafka.SaramaTracer = (*fence)(nil)

func newFence(joined func()) *fence {
	return &fence{joined: joined, sessions: make(map[claim]context.Context)}
}

// guard gives a context that ends with ctx or with the session, whichever is first.
func (f *fence) guard(ctx context.Context, topic string) context.Context {
	partition, _ := kafka.MessagePartitionFromCtx(ctx)
	f.mu.Lock()
	session := f.sessions[claim{topic, partition}]
	f.mu.Unlock()
	if session == nil {
		return ctx
	}
	guarded, cancel := context.WithCancel(ctx)
	if session.Err() != nil { // at once: AfterFunc would do it a moment too late
		cancel()
		return guarded
	}
	stop := context.AfterFunc(session, cancel)
	context.AfterFunc(guarded, func() { stop() }) // so that a session does not gather them all
	return guarded
}

// WrapConsumerGroupHandler lets the fence see each claim with its session.
func (f *fence) WrapConsumerGroupHandler(h sarama.ConsumerGroupHandler) sarama.ConsumerGroupHandler {
	return fencedHandler{h, f}
}

// WrapConsumer changes nothing.
func (f *fence) WrapConsumer(c sarama.Consumer) sarama.Consumer { return c }

// WrapPartitionConsumer changes nothing.
func (f *fence) WrapPartitionConsumer(c sarama.PartitionConsumer) sarama.PartitionConsumer { return c }

// WrapSyncProducer changes nothing.
func (f *fence) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return p
}

type fencedHandler struct {
	sarama.ConsumerGroupHandler
	fence *fence
}

// Setup tells that the group has let us in.
func (h fencedHandler) Setup(session sarama.ConsumerGroupSession) error {
	err := h.ConsumerGroupHandler.Setup(session)
	if err == nil {
		h.fence.joined()
	}
	return err
}

// ConsumeClaim notes the session before the first message of the claim can be seen. One client
// has one session at a time and the claim's messages are all in hand while ConsumeClaim runs, so
// a message never meets the note of another session.
func (h fencedHandler) ConsumeClaim(session sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	h.fence.mu.Lock()
	h.fence.sessions[claim{c.Topic(), c.Partition()}] = session.Context()
	h.fence.mu.Unlock()
	return h.ConsumerGroupHandler.ConsumeClaim(session, c)
}
