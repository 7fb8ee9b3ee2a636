package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

const eventID = "0190a000-0000-7000-8000-000000000001"

// rig is one service's router on topics in memory. It runs in a synctest bubble.
type rig struct {
	letters *letters
	seen    *observer
	topics  map[string]*topic
	stop    context.CancelFunc
	stopped chan struct{} // closed when Run has returned
}

func run(t *testing.T, service messaging.Service, change ...func(*messaging.Config)) *rig {
	t.Helper()
	r := &rig{letters: &letters{}, seen: &observer{}, topics: map[string]*topic{}, stopped: make(chan struct{})}
	groups, err := service.Groups()
	if err != nil {
		t.Fatal(err)
	}
	byGroup := map[string]*topic{}
	for _, g := range groups {
		r.topics[g.Topic] = newTopic(g.Topic)
		byGroup[g.Name] = r.topics[g.Topic]
	}
	again := service.RedriveGroup()
	r.topics[again.Topic] = newTopic(again.Topic)
	byGroup[again.Name] = r.topics[again.Topic]
	config := messaging.Config{
		Subscriber:  func(group string, _ func([]byte) bool) (message.Subscriber, error) { return byGroup[group], nil },
		Origin:      origin,
		DeadLetters: r.letters,
		Observer:    r.seen,
		Logger:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Policy:      messaging.Policy{Jitter: -1},
	}
	for _, c := range change {
		c(&config)
	}
	router, err := messaging.NewRouter(config, service)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() {
		defer close(r.stopped)
		if err := router.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	<-router.Running()
	t.Cleanup(func() { cancel(); <-r.stopped })
	return r
}

// record is what lies in Kafka.
type record struct {
	key     string
	value   string
	headers map[string]string
	later   time.Duration // than the others it was written
}

// written is when records were written.
var written = time.Unix(1700000000, 0)

// place is a record on a topic, and how its deliveries ended.
type place struct {
	topic  string
	offset int64
	record record
	acked  chan struct{}
	lose   context.CancelFunc // ends its session
}

type placeKey struct{}

// errSession is why a session ended, as sarama puts it into the session's context.
var errSession = errors.New("kafka server: The provided member is not known in the current generation")

func origin(msg *message.Message) (string, int32, int64, []byte, time.Time) {
	p, _ := msg.Context().Value(placeKey{}).(*place) // the rig has put it there
	return p.topic, 3, p.offset, []byte(p.record.key), written.Add(p.record.later)
}

// topic is one partition as watermill-kafka reads it: one message in hand, delivered again a
// second after it was given back, and not marked when its session is over.
type topic struct {
	name  string
	queue chan *place
	next  int64
}

func newTopic(name string) *topic { return &topic{name: name, queue: make(chan *place, 100)} }

func (r *rig) put(topic string, rec record) *place { return r.topics[topic].put(rec) }

func (t *topic) put(rec record) *place {
	p := &place{topic: t.name, offset: t.next, record: rec, acked: make(chan struct{})}
	t.next++
	t.queue <- p
	return p
}

func (t *topic) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case p := <-t.queue:
				t.deliver(ctx, out, p)
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (t *topic) deliver(ctx context.Context, out chan<- *message.Message, p *place) {
	session, end := context.WithCancelCause(ctx)
	defer end(nil)
	p.lose = func() { end(errSession) }
	for {
		msg := message.NewMessage(messages.ForeignID(p.topic, 3, p.offset, written), []byte(p.record.value))
		for name, value := range p.record.headers {
			msg.Metadata.Set(name, value)
		}
		msg.SetContext(context.WithValue(session, placeKey{}, p))
		select {
		case out <- msg:
		case <-ctx.Done():
			return
		}
		select {
		case <-msg.Acked():
			if session.Err() == nil {
				close(p.acked)
			}
			return
		case <-ctx.Done():
			return
		case <-msg.Nacked():
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (t *topic) Close() error { return nil }

// letters keeps dead letters in memory, and fails as often as it is told to.
type letters struct {
	mu       sync.Mutex
	kept     []messages.DeadLetter
	failures []error
}

func (l *letters) Keep(ctx context.Context, d messages.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) > 0 {
		err := l.failures[0]
		l.failures = l.failures[1:]
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.kept = append(l.kept, d)
	return nil
}

func (l *letters) all() []messages.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]messages.DeadLetter(nil), l.kept...)
}

type observer struct {
	mu       sync.Mutex
	outcomes []string // "handler outcome"
	took     []time.Duration
	unknown  []string
	dead     []string
}

func (o *observer) Handled(handler, outcome string, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcomes = append(o.outcomes, handler+" "+outcome)
	o.took = append(o.took, took)
}

// ended gives how deliveries ended so far, for tests that look before it is over.
func (o *observer) ended() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.outcomes...)
}

func (o *observer) DeadLettered(handler string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = append(o.dead, handler)
}

func (o *observer) Unknown(service, typ string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unknown = append(o.unknown, service+" "+typ)
}

// good is a record as the relay writes it.
func good(t *testing.T, m messages.Message) record {
	t.Helper()
	e, err := messages.Seal(eventID, "4bf92f3577b34da6a3ce929d0e0e4736", time.Unix(1700000000, 0), m)
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return record{key: m.Order(), value: string(value), headers: map[string]string{
		"eventId": eventID, "eventType": m.Name(),
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}}
}

var paid = &messages.PaymentSucceeded{OrderID: "ord_1", PaymentID: "pay_1", Amount: 2400, Currency: "LKR", Items: []messages.Quantity{{SKU: "SKU-123", Qty: 2}}}

// inventory is a service with one handler for PaymentSucceeded.
func inventory(handle func(context.Context, *messages.PaymentSucceeded) error) messaging.Service {
	return messaging.Service{Name: "inventory-service", Handlers: []messaging.Handler{messaging.On("reserve_stock", handle)}}
}

func brief(kept []messages.DeadLetter) string {
	var b strings.Builder
	for _, d := range kept {
		fmt.Fprintf(&b, "[%s %s@%d id %s order %q by %s/%s: %s %q after %d, %v]",
			d.Type, d.Topic, d.Offset, d.MessageID, d.OrderID, d.Consumer, d.Handler, d.Reason, d.Error, d.Attempts, d.Headers)
	}
	return b.String()
}
