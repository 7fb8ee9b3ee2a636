package outbox_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

// onBoth runs a promise on SQLite, and on PostgreSQL where TEST_POSTGRES_DSN says where it is.
func onBoth(t *testing.T, promise func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		promise(t, sqlite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		promise(t, postgres(t))
	})
}

// onEach is onBoth for benchmarks.
func onEach(b *testing.B, work func(b *testing.B, db *sqldb.DB)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { work(b, sqlite(b)) })
	b.Run("postgres", func(b *testing.B) { work(b, postgres(b)) })
}

func sqlite(t testing.TB) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "payments.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	must(t, sqldb.Migrate(t.Context(), db, "payments"))
	return db
}

// postgres gives a schema of the test's own.
func postgres(t testing.TB) *sqldb.DB {
	t.Helper()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	schema := "outbox_test_" + strings.ToLower(rand.Text()[:10])
	address, err := url.Parse(dsn)
	must(t, err)
	query := address.Query()
	query.Set("search_path", schema)
	address.RawQuery = query.Encode()
	db, err := sqldb.OpenPostgresDSN(address.String(), schema, 6)
	must(t, err)
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), `DROP SCHEMA "`+schema+`" CASCADE`)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Errorf("drop schema: %v", err)
		}
	})
	must(t, sqldb.Migrate(t.Context(), db, "payments"))
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// record makes a message of one aggregate; its payload is its text.
func record(aggregate, text string) outbox.Record {
	return outbox.Record{
		ID: uuid.NewString(), AggregateID: aggregate, EventType: "PaymentSucceeded", Topic: "payment.events",
		Payload: []byte(text), Headers: map[string]string{"correlationId": aggregate}, CreatedAt: time.Now(),
	}
}

// spread makes n messages of n aggregates.
func spread(n int) []outbox.Record {
	all := make([]outbox.Record, n)
	for i := range all {
		all[i] = record(fmt.Sprintf("ord_%d", i), "one")
	}
	return all
}

func write(t testing.TB, db *sqldb.DB, records ...outbox.Record) {
	t.Helper()
	must(t, db.InTx(t.Context(), func(tx *sqlx.Tx) error {
		return outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, records)
	}))
}

func status(t testing.TB, db *sqldb.DB) outbox.State {
	t.Helper()
	s, err := outbox.Status(t.Context(), db)
	must(t, err)
	return s
}

// stage is a broker that does as it is told and an observer that remembers. Whoever waits for
// something looks again at every change.
type stage struct {
	delay  time.Duration
	refuse func(topic string, msg *message.Message) error // nil takes everything

	mu        sync.Mutex
	changed   chan struct{}
	taken     []*message.Message
	topics    map[string]int
	attempts  int
	flying    int
	most      int // in flight at once
	published int
	marks     int // by which those were
	dead      []string
	pending   int
	oldest    time.Duration
	reports   int
	again     bool // see look
}

func newStage() *stage { return &stage{changed: make(chan struct{}), topics: map[string]int{}} }

func (s *stage) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Publish takes the messages after the delay, or refuses them.
func (s *stage) Publish(topic string, msgs ...*message.Message) error {
	s.change(func() { s.attempts++; s.flying++; s.most = max(s.most, s.flying) })
	defer s.change(func() { s.flying-- })
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-msgs[0].Context().Done():
			return msgs[0].Context().Err()
		}
	}
	if s.refuse != nil {
		if err := s.refuse(topic, msgs[0]); err != nil {
			return err
		}
	}
	s.change(func() { s.taken = append(s.taken, msgs...); s.topics[topic] += len(msgs) })
	return nil
}

func (s *stage) Close() error    { return errors.New("the relay closed a publisher that is not its own") }
func (s *stage) Published(n int) { s.change(func() { s.published += n; s.marks++ }) }
func (s *stage) Dead(topic string) {
	s.change(func() { s.dead = append(s.dead, topic) })
}

func (s *stage) Pending(n int, oldest time.Duration) {
	s.change(func() { s.pending, s.oldest = n, oldest; s.reports++ })
}

// look makes the await that it is called from look again soon, for what changes outside the stage.
func (s *stage) look() { s.again = true }

// await returns when holds does. It is called with the stage's lock held.
func (s *stage) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		s.again = false
		ok, changed := holds(), s.changed
		var soon <-chan time.Time
		if s.again {
			soon = time.After(5 * time.Millisecond)
		}
		taken, published := len(s.taken), s.published
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-soon:
		case <-late:
			t.Fatalf("never came true: %s (taken %d, published %d)", what, taken, published)
		}
	}
}

func (s *stage) awaitTaken(t testing.TB, n int) {
	t.Helper()
	s.await(t, fmt.Sprintf("the broker has %d messages", n), func() bool { return len(s.taken) >= n })
}

func (s *stage) awaitPublished(t testing.TB, n int) {
	t.Helper()
	s.await(t, fmt.Sprintf("%d rows are marked", n), func() bool { return s.published >= n })
}

// texts gives what the broker took, by aggregate, in order.
func (s *stage) texts() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]string{}
	for _, msg := range s.taken {
		id := msg.Metadata["correlationId"]
		all[id] = append(all[id], string(msg.Payload))
	}
	return all
}

// start runs a relay that is never woken by polling, and gives it with a function that ends it.
func start(t testing.TB, db *sqldb.DB, s *stage, adjust ...func(*outbox.Config)) (*outbox.Relay, func()) {
	t.Helper()
	c := outbox.Config{DB: db, Publisher: s, Observer: s, Logger: quiet, Poll: time.Hour}
	for _, a := range adjust {
		a(&c)
	}
	relay, err := outbox.NewRelay(c)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	select {
	case <-relay.Running():
	case err := <-ended:
		t.Fatalf("the relay did not start: %v", err)
	}
	end := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the relay ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the relay did not end")
		}
	})
	t.Cleanup(end)
	return relay, end
}
