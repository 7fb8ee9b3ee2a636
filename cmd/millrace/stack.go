package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"

	"millrace/adapters/config"
	"millrace/adapters/jwtauth"
	"millrace/adapters/kafkabus"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/notification"
	"millrace/app/order"
	"millrace/app/payment"
	"millrace/ports/httpapi"
	"millrace/sagas/engine"
)

// stack is what the services of one process stand on. `up` fills it with embedded parts where
// no real one is named, `serve` with real ones only; the services cannot tell.
type stack struct {
	process *process
	logger  func(service string) *slog.Logger
	started *started

	openDB     func(ctx context.Context, schema string) (*sqldb.DB, error)
	kafka      kafkabus.Config
	subscriber func(c kafkabus.Config, group string) (member, error)
	publisher  *kafkabus.Publisher
	admin      *kafkabus.Admin
	marks      sqlstore.Marks
	replies    order.Replies
	redis      *lamp // nil without Redis
	provider   func(*telemetry.Metrics) (payment.Provider, error)
	mailer     func(*telemetry.Metrics) (notification.Mailer, error)
	mailbox    http.Handler // while the mail sink is ours

	urlOf     func(service string) string
	listen    func(service string) (net.Listener, error)
	timeouts  engine.Timeouts
	retention retention
	mostOpen  int // orders under way at most
	dedupeTTL time.Duration
	alone     bool // no other process works on these databases

	refuse func([]config.Risk) error // fails in production where one of them is not tolerated
	told   []config.Risk             // of the servers' settings

	verifier *jwtauth.Verifier // of tokens; nil where nobody is asked for one
	fetching bool              // its keys

	bases      map[string]*base // by schema
	seeds      []func(context.Context) error
	beforeWork []func(context.Context) error
}

// retention says how long things are kept.
type retention struct {
	outbox, inbox, idempotency time.Duration

	journal time.Duration // 0 for ever
	archive string        // folder into which journals go
}

// base opens a service's database, once a process.
func (s *stack) base(ctx context.Context, service string, metrics *telemetry.Metrics) (*base, error) {
	schema := schemaOf[service]
	if b := s.bases[schema]; b != nil {
		return b, nil
	}
	b, err := s.openBase(ctx, schema, service, metrics)
	if err != nil {
		return nil, err
	}
	if s.bases == nil {
		s.bases = map[string]*base{}
	}
	s.bases[schema] = b
	return b, nil
}

func (s *stack) kafkaFor(logger *slog.Logger) kafkabus.Config {
	c := s.kafka
	c.Logger = logger
	return c
}

// front is what every service's HTTP side has.
func (s *stack) front(service string, metrics *telemetry.Metrics, checks ...httpapi.Check) httpapi.Service {
	health := httpapi.NewHealth(2*time.Second, append([]httpapi.Check{{Name: "start", Ready: s.started.ready}}, checks...)...)
	s.process.drain = append(s.process.drain, health.Drain)
	return httpapi.Service{
		Name: service, Health: health, Metrics: metrics.Handler(), Logger: s.logger(service), Observer: metrics,
		Traces: otel.GetTracerProvider(),
	}
}

// serve takes a service's port now, so that a port in use is known before anything else happens.
func (s *stack) serve(_ context.Context, service string, h http.Handler) error {
	l, err := s.listen(service)
	if err != nil {
		return err
	}
	logger := s.logger(service)
	s.process.accepting = append(s.process.accepting, part{"HTTP of " + service, func(ctx context.Context) error {
		return httpapi.Serve(ctx, l, h, logger)
	}})
	return nil
}

// prepare waits until everything is there that the services need: databases at this build's
// version, and topics; and in production it goes no further when their settings are unsafe.
func (s *stack) prepare(ctx context.Context) error {
	if err := s.patiently(ctx, "databases", s.checkDatabases); err != nil {
		return err
	}
	for schema, b := range s.bases {
		if err := s.patiently(ctx, "database "+schema, func(ctx context.Context) error {
			return sqldb.Check(ctx, b.db, schema)
		}); err != nil {
			return err
		}
	}
	if err := s.patiently(ctx, "kafka", s.ensureTopics); err != nil {
		return err
	}
	if err := s.patiently(ctx, "kafka", s.checkKafka); err != nil {
		return err
	}
	for _, do := range s.beforeWork {
		if err := do(ctx); err != nil {
			return err
		}
	}
	s.started.set()
	return nil
}

func (s *stack) ensureTopics(ctx context.Context) error {
	_, err := s.admin.EnsureTopics(ctx, ourTopics()...) // those that are otherwise than asked are for the self-check to judge
	return err
}
