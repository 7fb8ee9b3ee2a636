package outbox_test

import (
	"context"
	stdsql "database/sql"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

// contestant is one way to carry an outbox of PostgreSQL to a broker. Every fault of the stock one
// is tried on both: the stock one has to show it, so that the trial is known to find it, and ours
// must not.
type contestant interface {
	// store commits messages, in order, and tells whoever wants to be told of a commit.
	store(t *testing.T, records ...outbox.Record)
	// carry begins to carry to the broker, until end is called.
	carry(t *testing.T, to *stage) (end func())
	// left counts the messages that are still to be sent.
	left(t *testing.T) int
}

// ours is the relay, as a service runs it.
type ours struct {
	db     *sqldb.DB
	adjust func(*outbox.Config)

	mu     sync.Mutex
	relays []*outbox.Relay
}

func newOurs(t *testing.T, adjust ...func(*outbox.Config)) *ours {
	t.Helper()
	o := &ours{db: postgres(t), adjust: func(*outbox.Config) {}}
	if len(adjust) > 0 {
		o.adjust = adjust[0]
	}
	return o
}

func (o *ours) store(t *testing.T, records ...outbox.Record) {
	t.Helper()
	write(t, o.db, records...)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.relays {
		r.Wake()
	}
}

func (o *ours) carry(t *testing.T, to *stage) func() {
	t.Helper()
	relay, end := start(t, o.db, to, o.adjust)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.relays = append(o.relays, relay)
	return end
}

func (o *ours) left(t *testing.T) int {
	t.Helper()
	return int(status(t, o.db).Pending)
}

// stock is Watermill's forwarder over Watermill's SQL subscriber, with nothing of ours between.
type stock struct {
	db       *sqldb.DB
	schema   wsql.SchemaAdapter
	offsets  wsql.OffsetsAdapter
	pending  string // counts what is still to be sent
	poll     time.Duration
	deadline time.Duration
	polls    atomic.Int64
}

const stockTopic = "stock"

// newQueue is the stock PostgreSQL queue: rows with a column that says whether they were acknowledged.
func newQueue(t *testing.T) *stock {
	t.Helper()
	schema := wsql.PostgreSQLQueueSchema{GeneratePayloadType: func(string) string { return "BYTEA" }}
	return &stock{
		db: postgres(t), schema: schema, offsets: wsql.PostgreSQLQueueOffsetsAdapter{},
		pending: `SELECT count(*) FROM ` + schema.MessagesTable(stockTopic) + ` WHERE NOT acked`,
		poll:    10 * time.Millisecond, deadline: time.Minute,
	}
}

// newLog is the stock PostgreSQL table that is read by an offset, its default.
func newLog(t *testing.T) *stock {
	t.Helper()
	s := newQueue(t)
	schema, offsets := wsql.DefaultPostgreSQLSchema{GeneratePayloadType: func(string) string { return "BYTEA" }}, wsql.DefaultPostgreSQLOffsetsAdapter{}
	s.schema, s.offsets = schema, offsets
	s.pending = `SELECT count(*) FROM ` + schema.MessagesTable(stockTopic) +
		` WHERE "offset" > coalesce((SELECT max(offset_acked) FROM ` + offsets.MessagesOffsetsTable(stockTopic) + `), 0)`
	return s
}

func (s *stock) store(t *testing.T, records ...outbox.Record) {
	t.Helper()
	s.initialize(t)
	tx, err := s.db.BeginTxx(t.Context(), nil)
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	publisher, err := wsql.NewPublisher(wsql.TxFromStdSQL(tx.Tx), wsql.PublisherConfig{SchemaAdapter: s.schema}, watermill.NopLogger{})
	must(t, err)
	for _, r := range records {
		msg := message.NewMessage(r.ID, r.Payload)
		msg.Metadata = r.Headers
		must(t, forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: stockTopic}).Publish(r.Topic, msg))
	}
	must(t, tx.Commit())
}

func (s *stock) carry(t *testing.T, to *stage) func() {
	t.Helper()
	s.initialize(t)
	from := s.subscriber(t)
	fwd, err := forwarder.NewForwarder(from, unclosed{to}, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: stockTopic, CloseTimeout: 5 * time.Second})
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- fwd.Run(context.Background()) }()
	<-fwd.Running()
	end := sync.OnceFunc(func() {
		must(t, from.Close())
		must(t, fwd.Close())
		must(t, <-ended)
	})
	t.Cleanup(end)
	return end
}

func (s *stock) subscriber(t *testing.T) *wsql.Subscriber {
	t.Helper()
	from, err := wsql.NewSubscriber(counted{wsql.BeginnerFromStdSQL(s.db.DB.DB), &s.polls}, wsql.SubscriberConfig{
		SchemaAdapter: s.schema, OffsetsAdapter: s.offsets,
		PollInterval: s.poll, ResendInterval: 5 * time.Millisecond, RetryInterval: 10 * time.Millisecond, AckDeadline: &s.deadline,
	}, watermill.NopLogger{})
	must(t, err)
	return from
}

func (s *stock) initialize(t *testing.T) {
	t.Helper()
	must(t, s.subscriber(t).SubscribeInitialize(stockTopic))
}

func (s *stock) left(t *testing.T) int {
	t.Helper()
	var n int
	must(t, s.db.GetContext(t.Context(), &n, s.pending))
	return n
}

// idle says whether it has looked, found nothing, and holds no transaction any more.
func (s *stock) idle(t *testing.T) bool {
	t.Helper()
	return s.polls.Load() == 1 && s.db.Stats().InUse == 0
}

// counted counts the transactions that a subscriber begins, which is one a poll.
type counted struct {
	wsql.Beginner
	polls *atomic.Int64
}

func (c counted) BeginTx(ctx context.Context, options *stdsql.TxOptions) (wsql.Tx, error) {
	tx, err := c.Beginner.BeginTx(ctx, options)
	c.polls.Add(1) // now that the transaction is open
	return tx, err
}

// unclosed is the stage for a forwarder that closes its publisher, as the stock one does.
type unclosed struct{ *stage }

func (unclosed) Close() error { return nil }
