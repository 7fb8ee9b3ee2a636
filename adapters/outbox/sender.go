package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/failpoint"
	"millrace/adapters/sqldb"
	"millrace/domain/fault"
)

const (
	mendEvery = time.Second      // how often a topic is asked for at most
	mendTime  = 10 * time.Second // how long the making of one may take
	logEvery  = 10 * time.Second // how often an outage is logged
)

// delivery is one attempt to send a row. The feed makes it and the sender fills it in; whoever has
// seen the message acknowledged or refused may read it.
type delivery struct {
	row     *row
	open    context.Context // ends when nothing new may begin
	reached bool            // the sender got the message
	buried  bool            // the row is in outbox_dead now
	acked   bool
}

type deliveryKey struct{}

// sender is the publisher that the forwarder sees. It is called by many goroutines at once, and
// hands their messages on side by side, so that the client below can gather them.
type sender struct {
	to          message.Publisher
	table       table
	permanent   func(error) bool
	knownTopic  func(string) bool
	ensureTopic func(context.Context, string) error
	observer    Observer
	tracer      trace.Tracer
	log         *slog.Logger

	mu      sync.Mutex
	mending map[string]time.Time // when each topic was asked for last
	logged  time.Time
	warned  bool
	failed  int // attempts since Kafka took something
}

var _ message.Publisher = (*sender)(nil)

// Publish returns nil when Kafka has the messages, or when they are in outbox_dead.
func (s *sender) Publish(topic string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		d, ok := msg.Context().Value(deliveryKey{}).(*delivery)
		if !ok {
			return fault.New(fault.Internal, "outbox_foreign_message", "the message was not read from the outbox")
		}
		if err := s.send(topic, msg, d); err != nil {
			return err
		}
	}
	return nil
}

// Close leaves the publisher below open: it belongs to whoever made it.
func (s *sender) Close() error { return nil }

const unreadable = "the stored row is not a message: its headers are not a JSON object of strings"

// send sends the row that the forwarder's message stands for.
func (s *sender) send(topic string, msg *message.Message, d *delivery) error {
	d.reached = true
	headers, err := parseHeaders(d.row.headers)
	if err != nil || headers == nil {
		return s.bury(msg.Context(), d, unreadable)
	}
	msg.Payload, msg.Metadata = d.row.payload, headers
	if !s.knownTopic(topic) {
		return s.bury(msg.Context(), d, fmt.Sprintf("the topic %.100q is not one of ours", topic))
	}
	failpoint.Hit(failpoint.RelayBeforePublish, s.table.db.Name)
	err = s.traced(topic, msg, d)
	switch {
	case err == nil:
		failpoint.Hit(failpoint.RelayAfterAnswer, s.table.db.Name)
		s.recovered()
		return nil
	case s.permanent(err):
		return s.bury(msg.Context(), d, err.Error())
	}
	s.refused(topic, err)
	s.mend(d.open, topic)
	return err
}

// bury gives a row up. It fails when the database does, and then the row is tried again.
func (s *sender) bury(ctx context.Context, d *delivery, reason string) error {
	if err := s.table.bury(ctx, d.row.seq, reason); err != nil {
		return fmt.Errorf("move message %s to outbox_dead: %w", d.row.id, sqldb.Classify(err))
	}
	d.buried = true
	s.observer.Dead(d.row.topic)
	s.log.Error("message can never be sent: moved to outbox_dead",
		"eventId", d.row.id, "correlationId", d.row.aggregate, "topic", d.row.topic, "reason", reason)
	return nil
}

// mend makes the topic if it is missing. An attempt that failed does not say whether it is, so
// this asks, seldom and one at a time.
func (s *sender) mend(ctx context.Context, topic string) {
	s.mu.Lock()
	if time.Since(s.mending[topic]) < mendEvery {
		s.mu.Unlock()
		return
	}
	s.mending[topic] = time.Now().Add(mendTime) // nobody else while this one asks
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, mendTime)
	defer cancel()
	if err := s.ensureTopic(ctx, topic); err != nil && ctx.Err() == nil {
		s.log.Warn("topic could not be looked after", "topic", topic, "error", err)
	}
	s.mu.Lock()
	s.mending[topic] = time.Now()
	s.mu.Unlock()
}

// refused logs the first failure of an outage, and then one every now and again.
func (s *sender) refused(topic string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	if time.Since(s.logged) < logEvery {
		return
	}
	s.logged, s.warned = time.Now(), true
	s.log.Warn("Kafka does not take messages; they wait in the outbox", "topic", topic, "attempts", s.failed, "error", err)
}

// recovered logs the end of an outage that was logged.
func (s *sender) recovered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned {
		s.log.Info("Kafka takes messages again", "attempts", s.failed)
	}
	s.failed, s.warned = 0, false
}
