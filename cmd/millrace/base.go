package main

import (
	"context"
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
	schema string
	db     *sqldb.DB
	writer *outbox.Writer
	relay  *outbox.Relay
}

// openBase prepares a database and its relay. Nothing is connected yet.
func (s *stack) openBase(ctx context.Context, schema, service string, metrics *telemetry.Metrics) (*base, error) {
	db, err := s.openDB(ctx, schema)
	if err != nil {
		return nil, err
	}
	s.process.closeLast(db.Close)
	logger := s.logger(service)
	relay, err := outbox.NewRelay(outbox.Config{
		DB: db, Publisher: s.publisher, Logger: logger, Observer: metrics,
		Permanent:  kafkabus.IsPermanent,
		KnownTopic: knownTopic(),
		EnsureTopic: func(ctx context.Context, topic string) error {
			_, err := s.admin.EnsureTopics(ctx, kafkabus.Topic{Name: topic})
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	s.process.relaying = append(s.process.relaying, part{"relay of " + schema, relay.Run})
	b := &base{schema: schema, db: db, writer: outbox.NewWriter(db.Dialect, logger), relay: relay}
	s.keepTidy(b, logger)
	return b, nil
}

// core makes what the stores of one service share.
func (s *stack) core(b *base, service string, metrics *telemetry.Metrics) *sqlstore.Core {
	return sqlstore.NewCore(sqlstore.Config{
		DB: b.db, Service: service, Outbox: b.writer, Wake: b.relay.Wake, Marks: s.marks, Observer: metrics,
		Tracer: otel.Tracer("millrace/" + service), Logger: s.logger(service), Now: failpoint.Clock(service),
	})
}

// keepTidy deletes what its retention is over for, a little at a time.
func (s *stack) keepTidy(b *base, logger *slog.Logger) {
	core := sqlstore.NewCore(sqlstore.Config{DB: b.db})
	sweep := func(ctx context.Context) error {
		if _, err := outbox.Purge(ctx, b.db, s.retention.outbox); err != nil {
			return err
		}
		if _, err := core.PurgeInbox(ctx, s.retention.inbox); err != nil {
			return err
		}
		if b.schema != "orders" {
			return nil
		}
		_, err := core.PurgeIdempotencyKeys(ctx, s.retention.idempotency)
		return err
	}
	s.every(10*time.Minute, "retention of "+b.schema, logger, sweep)
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
