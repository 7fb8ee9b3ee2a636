package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"

	"millrace/adapters/failpoint"
	"millrace/adapters/kafkabus"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/messages"
	"millrace/ports/worker"
)

// schemaOf says which database a service lives in. Order service and orchestrator share one: they
// are one bounded context in two processes.
var schemaOf = map[string]string{
	messages.OrderService:        "orders",
	messages.Orchestrator:        "orders",
	messages.PaymentService:      "payments",
	messages.InventoryService:    "inventory",
	messages.NotificationService: "notifications",
}

// base is one database in this process, with its outbox and the relay that empties it.
type base struct {
	schema  string
	db      *sqldb.DB
	circuit *sqldb.Circuit
	lamp    *lamp // shows its state
	writer  *outbox.Writer
	relay   *outbox.Relay
}

// openBase prepares a database and its relay. Nothing is connected yet.
func (s *stack) openBase(ctx context.Context, schema, service string, metrics *telemetry.Metrics) (*base, error) {
	db, err := s.openDB(ctx, schema)
	if err != nil {
		return nil, err
	}
	s.process.closeLast(db.Close)
	logger := s.logger(service)
	relay, err := s.relayOf(db, metrics, logger)
	if err != nil {
		return nil, err
	}
	s.process.relaying = append(s.process.relaying, part{"relay of " + schema, relay.Run})
	shown := newLamp("database")
	circuit := sqldb.NewCircuit(sqldb.CircuitConfig{Name: schema, OnState: shown.set, Logger: logger})
	b := &base{schema: schema, db: db, circuit: circuit, lamp: shown, writer: outbox.NewWriter(db.Dialect, logger), relay: relay}
	s.keepTidy(b, logger)
	s.every(15*time.Second, "count of what the outbox of "+schema+" gave up", logger, func(ctx context.Context) error {
		n, err := outbox.CountDead(ctx, db)
		if err == nil {
			metrics.OutboxDeadWaiting(n)
		}
		return err
	})
	return b, nil
}

// relayOf makes the relay of a database to Kafka.
func (s *stack) relayOf(db *sqldb.DB, observer outbox.Observer, logger *slog.Logger) (*outbox.Relay, error) {
	return outbox.NewRelay(outbox.Config{
		DB: db, Publisher: s.publisher, Logger: logger, Observer: observer,
		Permanent:  kafkabus.IsPermanent,
		KnownTopic: knownTopic(),
		EnsureTopic: func(ctx context.Context, topic string) error {
			_, err := s.admin.EnsureTopics(ctx, kafkabus.Topic{Name: topic})
			return err
		},
	})
}

// core makes what the stores of one service share.
func (s *stack) core(b *base, service string, metrics *telemetry.Metrics) *sqlstore.Core {
	b.lamp.show(metrics)
	s.redis.show(metrics)
	return s.coreOf(b, service, metrics, 0)
}

// coreOf is core for work whose transactions are each delayed by linger, because nobody waits for them.
func (s *stack) coreOf(b *base, service string, metrics *telemetry.Metrics, linger time.Duration) *sqlstore.Core {
	return sqlstore.NewCore(sqlstore.Config{
		Linger: linger,
		DB:     b.db, Circuit: b.circuit, Service: service, Outbox: b.writer, Wake: b.relay.Wake, Marks: s.marks, Observer: metrics,
		Tracer: otel.Tracer("millrace/" + service), Logger: s.logger(service), Now: failpoint.Clock(service),
	})
}

// keepTidy deletes what its retention is over for, a little at a time.
func (s *stack) keepTidy(b *base, logger *slog.Logger) {
	s.every(s.retention.period(), "retention of "+b.schema, logger, func(ctx context.Context) error { return s.tidy(ctx, b) })
}

// period is how often to look: often enough that there is never much more than the retention asks for,
// and what there is goes in many small pieces instead of a heap.
func (r retention) period() time.Duration {
	return often(min(r.outbox, r.inbox, r.idempotency))
}

func often(kept time.Duration) time.Duration {
	return min(max(kept/10, 10*time.Second), 10*time.Minute)
}

// tidy deletes it once. A table that cannot be tidied keeps no other one from it.
func (s *stack) tidy(ctx context.Context, b *base) error {
	core := sqlstore.NewCore(sqlstore.Config{DB: b.db})
	_, sent := outbox.Purge(ctx, b.db, s.retention.outbox)
	_, handled := core.PurgeInbox(ctx, s.retention.inbox)
	var replies error
	if b.schema == schemaOf[messages.OrderService] {
		_, replies = core.PurgeIdempotencyKeys(ctx, s.retention.idempotency)
	}
	return errors.Join(sent, handled, replies)
}

// every runs a chore for as long as the process works.
func (s *stack) every(period time.Duration, name string, logger *slog.Logger, chore func(context.Context) error) {
	s.process.consuming = append(s.process.consuming, part{name, func(ctx context.Context) error {
		worker.Periodic(ctx, period, period/10, worker.Logged(logger, name, chore))
		return nil
	}})
}

func knownTopic() func(string) bool {
	known := map[string]bool{}
	for _, topic := range messages.Topics() {
		known[topic] = true
	}
	return func(topic string) bool { return known[topic] }
}
