package kafkabus

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/failpoint"
	"millrace/domain/fault"
)

const (
	// nackPause keeps a message that is refused again and again from spinning.
	nackPause = time.Second
	// connectPause lies between attempts to reach Kafka.
	connectPause = time.Second
)

// Subscriber reads topics as a member of a consumer group, from the oldest message that the group
// has not acknowledged. Per partition one message is in hand at a time, so messages with the same
// key keep their order.
//
// A message's context ends when the message is no longer ours: its partition was lost in a
// rebalance, or the subscriber was closed. Acknowledging it after that has no effect.
type Subscriber struct {
	cfg   Config
	group string

	closing chan struct{}
	joined  chan struct{}
	joining sync.Once
	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	streams []*stream
}

var _ message.Subscriber = (*Subscriber)(nil)

// stream is one subscription. Each has a client of its own, and so its own fence.
type stream struct {
	mu    sync.Mutex // subscribing and closing exclude each other
	inner *kafka.Subscriber
	fence *fence
}

// NewSubscriber checks the settings and fails with fault.Invalid. The group is one topic's group
// of one service, "<service>.<topic>": topics that share a group disturb each other's rebalances.
func NewSubscriber(cfg Config, group string) (*Subscriber, error) {
	cfg, err := cfg.forGroup(group)
	if err != nil {
		return nil, err
	}
	return &Subscriber{cfg: cfg, group: group, closing: make(chan struct{}), joined: make(chan struct{})}, nil
}

// forGroup checks what a member of a consumer group needs. It fails with fault.Invalid.
func (c Config) forGroup(group string) (Config, error) {
	if err := c.Validate(); err != nil {
		return c, err
	}
	if group == "" {
		return c, fault.New(fault.Invalid, "invalid_setting", "a subscriber needs a consumer group")
	}
	c = c.withDefaults()
	_, err := c.consumerConfig()
	return c, err
}

// Joined is closed when the group has let this member in for the first time: from then on what is
// written is read at once.
func (s *Subscriber) Joined() <-chan struct{} { return s.joined }

// join is called at the beginning of every session.
func (s *Subscriber) join() {
	s.joining.Do(func() { close(s.joined) })
	s.cfg.Session(s.group)
}

// Subscribe gives the topic's messages until ctx ends or the subscriber is closed. It returns at
// once: while Kafka cannot be reached the channel stays silent, and the log says why.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	settings, err := s.cfg.consumerConfig() // one each: the balance strategy in it has a state
	if err != nil {
		return nil, err
	}
	fence := newFence(s.join)
	inner, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers:               s.cfg.Brokers,
		Unmarshaler:           marshaler{},
		OverwriteSaramaConfig: settings,
		ConsumerGroup:         s.group,
		NackResendSleep:       nackPause,
		ReconnectRetrySleep:   connectPause,
		Tracer:                fence,
	}, watermillLog(s.cfg.Logger))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "invalid_setting", err)
	}
	st := &stream{inner: inner, fence: fence}
	s.streams = append(s.streams, st)
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		if in := s.open(ctx, st, topic); in != nil {
			s.forward(ctx, st, topic, in, out)
		}
	})
	return out, nil
}

// open subscribes as soon as Kafka can be reached; nil when that is no longer wanted.
func (s *Subscriber) open(ctx context.Context, st *stream, topic string) <-chan *message.Message {
	for {
		st.mu.Lock()
		in, err := st.inner.Subscribe(ctx, topic)
		st.mu.Unlock()
		if err == nil {
			return in
		}
		select {
		case <-s.closing:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		s.cfg.Logger.WarnContext(ctx, "Kafka cannot be reached, trying again", "topic", topic, "group", s.group, "error", err)
		pause := time.NewTimer(connectPause)
		select {
		case <-pause.C:
		case <-s.closing:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// forward hands messages on with their place and their session. It reads to the end: what is not
// taken any more stays unacknowledged and comes again.
func (s *Subscriber) forward(ctx context.Context, st *stream, topic string, in <-chan *message.Message, out chan<- *message.Message) {
	for msg := range in {
		msg.SetContext(withPlace(st.fence.guard(msg.Context(), topic), placeOf(msg.Context(), topic)))
		failpoint.HitWhen(msg.Context(), msg.Acked(), failpoint.BeforeAcknowledge, s.group)
		select {
		case out <- msg:
		case <-s.closing:
		case <-ctx.Done():
		}
	}
}

// Close leaves the group and returns when every channel is closed.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	streams := s.streams
	s.mu.Unlock()
	if first {
		close(s.closing)
		for _, st := range streams {
			st.mu.Lock()
			_ = st.inner.Close() // it never fails
			st.mu.Unlock()
		}
	}
	s.running.Wait()
	return nil
}
