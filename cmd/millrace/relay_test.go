package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/embedded"
	"millrace/adapters/kafkabus"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
)

// What Kafka will never take is put aside and named, what waits for its topic gets it, and nobody
// behind either is stopped: with the publisher, the admin and the topics of the services.
func TestWhatKafkaWillNeverTakeStopsNobody(t *testing.T) {
	t.Parallel()
	s, db := relayStack(t)
	records := []outbox.Record{
		outboxRecord("ord_1", "e1", messages.OrderEvents, "first"),
		outboxRecord("ord_1", "e2", messages.OrderEvents, strings.Repeat("x", kafkabus.MaxRecordBytes+1)),
		outboxRecord("ord_1", "e3", "somebody.elses", "lost"),
		outboxRecord("ord_1", "e4", messages.OrderEvents, "second"),
		outboxRecord("ord_2", "e5", messages.OrderEvents, "third"),
	}
	must(t, db.InTx(t.Context(), func(tx *sqlx.Tx) error {
		return outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, records)
	}))
	runRelay(t, s, db)

	// The topic is not there yet, and is one of ours: the relay makes it.
	consumer, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Brokers...), kgo.ConsumeTopics(messages.OrderEvents),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond), kgo.UnknownTopicRetries(-1))
	must(t, err)
	t.Cleanup(consumer.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	got := map[string][]string{}
	for n := 0; n < 3; {
		fetched := consumer.PollFetches(ctx)
		must(t, ctx.Err())
		for _, r := range fetched.Records() {
			got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
			n++
		}
	}
	if !slices.Equal(got["ord_1"], []string{"first", "second"}) || !slices.Equal(got["ord_2"], []string{"third"}) {
		t.Errorf("Kafka has %v", got)
	}

	var dead []outbox.Dead
	await(t, "both are put aside", func() bool {
		dead, err = outbox.LastDead(t.Context(), db, 10)
		must(t, err)
		return len(dead) == 2
	})
	reasons := map[string]string{}
	for _, d := range dead {
		reasons[d.ID] = d.Reason
	}
	if !strings.Contains(reasons["e2"], "MaxMessageBytes") && !strings.Contains(reasons["e2"], "too large") {
		t.Errorf("the large one is dead because %q", reasons["e2"])
	}
	if !strings.Contains(reasons["e3"], `"somebody.elses" is not one of ours`) {
		t.Errorf("the foreign one is dead because %q", reasons["e3"])
	}
}

// Nobody tells the relay of a replay: it finds the rows when it polls.
func TestARunningRelayNoticesAReplay(t *testing.T) {
	t.Parallel()
	s, db := relayStack(t)
	must(t, db.InTx(t.Context(), func(tx *sqlx.Tx) error {
		return outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, []outbox.Record{outboxRecord("ord_1", "e1", messages.OrderEvents, "first")})
	}))
	runRelay(t, s, db)
	published := func() bool {
		state, err := outbox.Status(t.Context(), db)
		must(t, err)
		return state.Published == 1 && state.Pending == 0
	}
	await(t, "it is published", published)
	n, err := outbox.Replay(t.Context(), db, time.Time{})
	must(t, err)
	if n != 1 {
		t.Fatalf("%d rows are replayed, not 1", n)
	}
	await(t, "it is published again", published)
}

func TestRetentionTidiesEveryTable(t *testing.T) {
	t.Parallel()
	db := migrated(t, "orders")
	for _, statement := range []string{
		"INSERT INTO inbox (consumer, message_id, handled_at) SELECT 'c', 'old', 0 UNION ALL SELECT 'c', 'new', unixepoch() * 1000000",
		"INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, order_id, created_at) SELECT 'u', 'old', '', 202, '', 'ord_1', 0 UNION ALL SELECT 'u', 'new', '', 202, '', 'ord_2', unixepoch() * 1000000",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		must(t, err)
	}
	must(t, db.InTx(t.Context(), func(tx *sqlx.Tx) error {
		return outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, []outbox.Record{
			outboxRecord("ord_1", "old", messages.OrderEvents, ""), outboxRecord("ord_1", "new", messages.OrderEvents, ""), outboxRecord("ord_1", "waits", messages.OrderEvents, ""),
		})
	}))
	_, err := db.ExecContext(t.Context(), "UPDATE outbox SET published_at = CASE id WHEN 'old' THEN 0 ELSE unixepoch() * 1000000 END WHERE id <> 'waits'")
	must(t, err)
	s := &stack{retention: retention{outbox: time.Hour, inbox: time.Hour, idempotency: time.Hour}}
	must(t, s.tidy(t.Context(), &base{schema: "orders", db: db}))
	for query, want := range map[string]string{
		"SELECT group_concat(message_id) FROM inbox": "new", "SELECT group_concat(key) FROM idempotency_keys": "new",
		"SELECT group_concat(id) FROM (SELECT id FROM outbox ORDER BY seq)": "new,waits",
	} {
		var left string
		must(t, db.GetContext(t.Context(), &left, query))
		if left != want {
			t.Errorf("%s gives %s, want %s", query, left, want)
		}
	}
}

// relayStack is as much of a stack as a relay needs: a broker without topics, and a database.
func relayStack(t *testing.T) (*stack, *sqldb.DB) {
	t.Helper()
	broker, err := embedded.StartKafka(loopback+":0", filepath.Join(t.TempDir(), "kafka"), embedded.KafkaOptions{Unsynced: true})
	must(t, err)
	t.Cleanup(func() { _ = broker.Close() })
	s := &stack{kafka: kafkabus.Config{Brokers: []string{broker.Addr()}, Partitions: 3, Logger: quiet}}
	s.publisher, err = kafkabus.NewPublisher(s.kafka)
	must(t, err)
	t.Cleanup(func() { _ = s.publisher.Close() })
	s.admin, err = kafkabus.NewAdmin(s.kafka)
	must(t, err)
	t.Cleanup(func() { _ = s.admin.Close() })
	return s, migrated(t, "orders")
}

func runRelay(t *testing.T, s *stack, db *sqldb.DB) {
	t.Helper()
	relay, err := s.relayOf(db, nil, quiet)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func outboxRecord(order, id, topic, payload string) outbox.Record {
	return outbox.Record{
		ID: id, AggregateID: order, EventType: "OrderCreated", Topic: topic, Payload: []byte(payload),
		Headers: map[string]string{"correlationId": order}, CreatedAt: time.Now(),
	}
}

// migrated is an SQLite database of one service.
func migrated(t *testing.T, schema string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), schema+".db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	must(t, sqldb.Migrate(t.Context(), db, schema))
	return db
}

var quiet = slog.New(slog.DiscardHandler)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await returns when holds does.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(40 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("it never came true that %s", what)
		}
	}
}
