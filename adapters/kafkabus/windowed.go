package kafkabus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
)

// closeGrace is how long closing waits for messages in hand. Until then they are still ours, and
// what is acknowledged is not read again by the next member.
const closeGrace = 2 * time.Second

// Windowed reads topics as a member of a consumer group, as Subscriber does, with up to 64
// messages of a partition in hand. Messages with the same key come one at a time, in their order;
// those with different keys come side by side, and one that is slow or refused holds up its own key
// alone. Records without a key are each a key of their own.
//
// Committed is only what everything before is acknowledged too: after a crash nothing is missing,
// and some of what was acknowledged comes again. A refused message comes again after a second.
//
// A message's context ends when the message is settled, or no longer ours: its partition was lost
// in a rebalance, or the subscriber was closed. Acknowledging it after that has no effect.
type Windowed struct {
	cfg   Config
	group string

	closing chan struct{}
	joined  chan struct{}
	joining sync.Once
	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
}

var _ message.Subscriber = (*Windowed)(nil)

// NewWindowed checks the settings and fails with fault.Invalid. For the group see NewSubscriber.
func NewWindowed(cfg Config, group string) (*Windowed, error) {
	cfg, err := cfg.forGroup(group)
	if err != nil {
		return nil, err
	}
	return &Windowed{cfg: cfg, group: group, closing: make(chan struct{}), joined: make(chan struct{})}, nil
}

// Joined is closed when the group has let this member in for the first time: from then on what is
// written is read at once.
func (w *Windowed) Joined() <-chan struct{} { return w.joined }

// join is called at the beginning of every session.
func (w *Windowed) join() {
	w.joining.Do(func() { close(w.joined) })
	w.cfg.Session(w.group)
}

// Subscribe gives the topic's messages until ctx ends or the subscriber is closed. It returns at
// once: while Kafka cannot be reached the channel stays silent, and the log says why. At the end it
// waits up to two seconds for what is in hand, before the messages' contexts end and the channel is
// closed.
func (w *Windowed) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	out := make(chan *message.Message)
	w.running.Go(func() {
		defer close(out)
		w.read(ctx, topic, out)
	})
	return out, nil
}

// Close leaves the group and returns when every channel is closed.
func (w *Windowed) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		close(w.closing)
	}
	w.running.Wait()
	return nil
}

// subscription is what the claims of one Subscribe share.
type subscription struct {
	topic    string
	group    string
	out      chan<- *message.Message
	live     context.Context // every session is within it
	unwanted func([]byte) bool
	stopping chan struct{} // closed when nothing more may be handed out
	inHand   atomic.Int64  // of all its readers, those being handed out included
	idle     chan struct{} // nothing is in hand any more; capacity 1
}

// taken counts n more messages in hand, or fewer.
func (s *subscription) taken(n int) {
	if s.inHand.Add(int64(n)) == 0 {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// settle waits until nothing is in hand, up to the grace time.
func (s *subscription) settle(grace time.Duration) {
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for s.inHand.Load() > 0 {
		select {
		case <-s.idle:
		case <-limit.C:
			return
		}
	}
}

// stopped says whether nothing more may be handed out.
func (s *subscription) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// read is a member of the group until the end, as often as that takes.
func (w *Windowed) read(ctx context.Context, topic string, out chan<- *message.Message) {
	// Sessions outlive ctx by the grace time.
	live, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := &subscription{topic: topic, group: w.group, out: out, live: live, unwanted: w.cfg.Unwanted, stopping: make(chan struct{}), idle: make(chan struct{}, 1)}
	w.running.Go(func() {
		defer end()
		select {
		case <-ctx.Done():
		case <-w.closing:
		}
		close(s.stopping)
		s.settle(closeGrace)
	})
	for {
		err := w.belong(s)
		if live.Err() != nil {
			return
		}
		if err != nil {
			w.cfg.Logger.WarnContext(ctx, "the consumer group cannot be joined, trying again", "topic", topic, "group", w.group, "error", err)
		}
		pause := time.NewTimer(connectPause)
		select {
		case <-pause.C:
		case <-live.Done():
		}
		pause.Stop()
	}
}

// belong is one membership: from joining the group until it is left, through every rebalance.
func (w *Windowed) belong(s *subscription) error {
	settings, err := w.cfg.consumerConfig() // one each: the balance strategy in it has a state
	if err != nil {
		return err
	}
	group, err := sarama.NewConsumerGroup(w.cfg.Brokers, w.group, settings)
	if err != nil {
		return err
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for err := range group.Errors() {
			w.cfg.Logger.Warn("consumer group", "topic", s.topic, "group", w.group, "error", err)
		}
	})
	defer listening.Wait()
	defer func() {
		if err := group.Close(); err != nil {
			w.cfg.Logger.Debug("leaving the consumer group", "topic", s.topic, "group", w.group, "error", err)
		}
	}()
	for !s.stopped() {
		if err := group.Consume(s.live, []string{s.topic}, member{w, s, group}); err != nil {
			return err
		}
	}
	return nil
}

// member is what sarama tells of each session.
type member struct {
	windowed     *Windowed
	subscription *subscription
	group        sarama.ConsumerGroup
}

var _ sarama.ConsumerGroupHandler = member{}

// Setup tells that the group has let us in.
func (m member) Setup(sarama.ConsumerGroupSession) error {
	m.windowed.join()
	return nil
}

// Cleanup does nothing: sarama commits after it what is marked.
func (m member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim reads a partition until the session ends.
func (m member) ConsumeClaim(session sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	partition := map[string][]int32{c.Topic(): {c.Partition()}}
	m.group.Resume(partition) // sarama remembers over a rebalance that it was paused
	newReader(session.Context(), m.subscription, c.Messages(), source{
		mark:   func(offset int64) { session.MarkOffset(c.Topic(), c.Partition(), offset, "") },
		pause:  func() { m.group.Pause(partition) },
		resume: func() { m.group.Resume(partition) },
	}).run()
	return nil
}
