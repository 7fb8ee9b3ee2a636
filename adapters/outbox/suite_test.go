package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/jmoiron/sqlx"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

// TestTheOutboxKeepsWatermillsPromises runs Watermill's own suite for publishers and subscribers:
// what is published is written by Writer, and what is subscribed to comes from a Relay. Its server
// is its own, because the suite restarts it.
func TestTheOutboxKeepsWatermillsPromises(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out of the short pass: it restarts a server of its own")
	}
	dsn, restart := ownPostgres(t)
	w := &suiteWorld{dsn: dsn, boxes: map[string]*suiteBox{}}
	t.Cleanup(func() { w.close(t) })
	construct := func(*testing.T) (message.Publisher, message.Subscriber) {
		return suitePublisher{w}, &suiteSubscriber{world: w}
	}
	tests.TestPubSub(t, tests.Features{
		Persistent:            true,
		GuaranteedOrder:       true,  // of an aggregate, which the payload is here
		ExactlyOnceDelivery:   false, // nor does the suite look at closing where it is promised
		ForceShort:            true,  // after a hundred refusals in a row a relay waits seconds for the next try
		RestartServiceCommand: restart,
	}, construct, nil)
}

// suiteWorld has an outbox for every topic of the suite, each in a schema of its own.
type suiteWorld struct {
	dsn   string
	mu    sync.Mutex
	boxes map[string]*suiteBox
}

type suiteBox struct {
	made func() (*sqldb.DB, error)

	mu     sync.Mutex
	relays map[*outbox.Relay]bool
}

func (w *suiteWorld) box(topic string) *suiteBox {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.boxes[topic] == nil {
		w.boxes[topic] = &suiteBox{relays: map[*outbox.Relay]bool{}, made: sync.OnceValues(func() (*sqldb.DB, error) {
			dsn := w.dsn + "&search_path=" + topic
			db, err := sqldb.OpenPostgresDSN(dsn, topic, 8)
			if err != nil {
				return nil, err
			}
			return db, sqldb.Migrate(context.Background(), db, "payments")
		})}
	}
	return w.boxes[topic]
}

func (w *suiteWorld) close(t *testing.T) {
	t.Helper()
	for topic, b := range w.boxes {
		if db, err := b.made(); err != nil {
			t.Errorf("%s: %v", topic, err)
		} else {
			must(t, db.Close())
		}
	}
}

// suitePublisher writes each message as a record, in one transaction a call.
type suitePublisher struct{ world *suiteWorld }

func (p suitePublisher) Publish(topic string, msgs ...*message.Message) error {
	b := p.world.box(topic)
	db, err := b.made()
	if err != nil {
		return err
	}
	records := make([]outbox.Record, len(msgs))
	for i, msg := range msgs {
		records[i] = outbox.Record{
			ID: msg.UUID, AggregateID: string(msg.Payload), EventType: "Suite", Topic: topic,
			Payload: msg.Payload, Headers: msg.Metadata, CreatedAt: time.Now(),
		}
	}
	// A commit whose answer is lost with the server may have taken effect: who gave the message up then, and sent
	// another one, would receive both. So it is tried until the server says which.
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err = db.InTx(context.Background(), func(tx *sqlx.Tx) error {
			return outbox.NewWriter(db.Dialect, quiet).Append(context.Background(), tx, records)
		})
		if !errors.Is(sqldb.Classify(err), sqldb.ErrAway) || time.Now().After(late) {
			break
		}
	}
	if errors.Is(err, sqldb.ErrTaken) { // it was committed, and the answer was lost with the connection
		err = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for relay := range b.relays {
		relay.Wake()
	}
	return err
}

func (suitePublisher) Close() error { return nil }

// suiteSubscriber runs a relay for each subscription.
type suiteSubscriber struct {
	world *suiteWorld
	mu    sync.Mutex
	ends  []func()
}

func (s *suiteSubscriber) SubscribeInitialize(topic string) error {
	_, err := s.world.box(topic).made()
	return err
}

func (s *suiteSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	b := s.world.box(topic)
	db, err := b.made()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	to := &suiteBroker{open: ctx, out: make(chan *message.Message)}
	relay, err := outbox.NewRelay(outbox.Config{DB: db, Publisher: to, Logger: quiet})
	if err != nil {
		cancel()
		return nil, err
	}
	b.mu.Lock()
	b.relays[relay] = true
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = relay.Run(ctx) // what it should have delivered is missed
		b.mu.Lock()
		delete(b.relays, relay)
		b.mu.Unlock()
		close(to.out)
	}()
	s.mu.Lock()
	s.ends = append(s.ends, func() { cancel(); <-done })
	s.mu.Unlock()
	return to.out, nil
}

func (s *suiteSubscriber) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.ends {
		end()
	}
	return nil
}

// suiteBroker hands messages to a subscriber, and takes those that are acknowledged.
type suiteBroker struct {
	open context.Context
	out  chan *message.Message
}

var (
	errRefused = errors.New("refused")
	errOver    = errors.New("the subscription is over")
)

func (b *suiteBroker) Publish(_ string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		ctx, cancel := context.WithCancel(b.open)
		defer cancel()
		handed := msg.Copy()
		handed.SetContext(ctx)
		select {
		case b.out <- handed:
		case <-b.open.Done():
			return errOver
		}
		select {
		case <-handed.Acked():
		case <-handed.Nacked():
			return errRefused
		case <-b.open.Done():
			return errOver
		}
	}
	return nil
}

func (*suiteBroker) Close() error { return nil }

// ownPostgres starts a PostgreSQL for this test alone, and gives its address and a command that
// restarts it. It skips the test where PostgreSQL is not installed.
func ownPostgres(t *testing.T) (dsn string, restart []string) {
	t.Helper()
	if os.Getenv("TEST_POSTGRES_DSN") == "" {
		t.Skip("TEST_POSTGRES_DSN is not set") // only then are tests to start servers
	}
	script, err := filepath.Abs("../../scripts/infra")
	must(t, err)
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) == 0 {
		if _, err := exec.LookPath("initdb"); err != nil {
			t.Skip("PostgreSQL is not installed here: there is no initdb")
		}
	}
	dir := t.TempDir()
	environ := []string{"INFRA_DIR=" + dir, "INFRA_SERVERS=postgres", "INFRA_ENGINE=native"}
	infra := func(verb string) {
		cmd := exec.CommandContext(context.Background(), script, verb)
		cmd.Env = append(os.Environ(), environ...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("scripts/infra %s: %v\n%s", verb, err, out)
		}
	}
	t.Cleanup(func() { infra("down") })
	infra("up")
	file, err := os.Open(filepath.Join(dir, "env"))
	must(t, err)
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "export TEST_POSTGRES_DSN="); ok {
			dsn = strings.Trim(value, "'")
		}
	}
	again := fmt.Sprintf("%q stop postgres && %q start postgres", script, script)
	return dsn, append(append([]string{"env"}, environ...), "sh", "-c", again)
}
