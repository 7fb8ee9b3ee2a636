package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/sqldb"
	"millrace/domain/fault"
)

// Observer is told what the relay does. Its methods are called from several goroutines.
type Observer interface {
	// Published: n rows were acknowledged by Kafka and marked.
	Published(n int)
	// Pending: n rows are not yet marked, and the oldest was written that long ago. Only the relay
	// that leads says so; one that stops leading says zero.
	Pending(n int, oldest time.Duration)
	// Dead: a message for topic was given up.
	Dead(topic string)
}

// Config is what a relay needs. Only DB, Publisher and Logger have no default.
type Config struct {
	DB *sqldb.DB
	// Publisher sends to Kafka, and returns when Kafka has the messages. It is used by many
	// goroutines at once, and is not closed.
	Publisher message.Publisher
	Logger    *slog.Logger

	// Permanent says that an error of Publisher will not go away for this message: it moves to
	// outbox_dead. A missing topic is never permanent. By default nothing is.
	Permanent func(error) bool
	// KnownTopic says whether a topic is one of ours. A message for another one moves to
	// outbox_dead. By default all are known.
	KnownTopic func(topic string) bool
	// EnsureTopic makes a topic if it is missing and returns when it can be written to. It is asked
	// after failures, at most once a second for a topic. By default nothing is made.
	EnsureTopic func(ctx context.Context, topic string) error

	Window   int           // messages in flight at most; 256 by default
	Poll     time.Duration // how often to look without being woken; 1 s by default
	Grace    time.Duration // how long the end waits for what is in flight; 5 s by default
	Observer Observer
	Clock    func() time.Time     // for the age of what waits; the system's by default
	Tracer   trace.TracerProvider // the process's by default
}

// ErrMisconfigured: a relay cannot be made of this Config.
var ErrMisconfigured = fault.New(fault.Internal, "outbox_misconfigured", "the relay needs a database, a publisher and a logger")

func (c Config) withDefaults() Config {
	if c.Permanent == nil {
		c.Permanent = func(error) bool { return false }
	}
	if c.KnownTopic == nil {
		c.KnownTopic = func(string) bool { return true }
	}
	if c.EnsureTopic == nil {
		c.EnsureTopic = func(context.Context, string) error { return nil }
	}
	if c.Window <= 0 {
		c.Window = 256
	}
	if c.Poll <= 0 {
		c.Poll = time.Second
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.Observer == nil {
		c.Observer = silent{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Tracer == nil {
		c.Tracer = otel.GetTracerProvider()
	}
	return c
}

// Relay carries the rows of one database to Kafka.
type Relay struct {
	feed      *feed
	leader    *leader // nil in SQLite, whose file belongs to one process
	forwarder *forwarder.Forwarder
}

// NewRelay makes a relay. It fails with ErrMisconfigured and touches neither database nor broker.
func NewRelay(c Config) (*Relay, error) {
	if c.DB == nil || c.Publisher == nil || c.Logger == nil {
		return nil, ErrMisconfigured
	}
	c = c.withDefaults()
	log := c.Logger.With("outbox", c.DB.Name)
	t := table{db: c.DB}
	s := &sender{
		to: c.Publisher, table: t, permanent: c.Permanent, knownTopic: c.KnownTopic, ensureTopic: c.EnsureTopic,
		observer: c.Observer, tracer: c.Tracer.Tracer("millrace/adapters/outbox"), log: log, mending: map[string]time.Time{},
	}
	f := &feed{
		table: t, bury: s.bury, observer: c.Observer, clock: c.Clock, log: log,
		window: c.Window, poll: c.Poll, grace: c.Grace,
		wake: make(chan struct{}, 1), leads: make(chan bool), leading: c.DB.Dialect == sqldb.SQLite,
		ended: make(chan struct{}),
	}
	fwd, err := forwarder.NewForwarder(f, s, watermillLog(log), forwarder.Config{
		ForwarderTopic: "outbox",
		Middlewares: []message.HandlerMiddleware{
			roomy,                // before anything lies on the stack
			middleware.Recoverer, // a panic is a failed attempt
		},
		CloseTimeout: time.Second, // after the feed's grace time
	})
	if err != nil {
		return nil, fmt.Errorf("forwarder: %w", err)
	}
	r := &Relay{feed: f, forwarder: fwd}
	if c.DB.Dialect == sqldb.Postgres {
		r.leader = newLeader(c.DB, f, log)
	}
	return r, nil
}

// Run carries rows until ctx ends, and can be called once. Then it hands out nothing more, waits
// for what is in flight up to the grace time, marks what Kafka took, and only then lets another
// relay take over. It waits out every outage of broker and database, and fails only when it cannot
// be started.
func (r *Relay) Run(ctx context.Context) error {
	leading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var standing sync.WaitGroup
	if r.leader != nil {
		standing.Go(func() { r.leader.run(leading) })
	}
	err := r.forwarder.Run(ctx)
	stop()
	standing.Wait()
	return err
}

// Wake says that rows were committed in this process. They leave at once, whichever process leads.
// It never blocks, and many calls become one.
func (r *Relay) Wake() {
	r.feed.nudge()
	if r.leader != nil {
		r.leader.nudge()
	}
}

// Running is closed when Run has begun to carry rows or to stand by.
func (r *Relay) Running() <-chan struct{} { return r.forwarder.Running() }

type silent struct{}

func (silent) Published(int)              {}
func (silent) Pending(int, time.Duration) {}
func (silent) Dead(string)                {}
