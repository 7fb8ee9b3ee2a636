package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/kafkabus"
	"millrace/adapters/psp"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/rediscache"
	"millrace/adapters/smtpmail"
	"millrace/adapters/sqldb"
	"millrace/adapters/telemetry"
	"millrace/app/notification"
	"millrace/app/payment"
	"millrace/sagas/engine"
)

// newStack makes an empty stack with its loggers and tracing.
func newStack(ctx context.Context, c *config.Config, logFormat, service string) (*stack, error) {
	process := &process{logger: telemetry.NewLogger(os.Stderr, logFormat, c.LogLevel, service)}
	s := &stack{
		process: process, started: &started{},
		logger: func(service string) *slog.Logger {
			return telemetry.NewLogger(os.Stderr, logFormat, c.LogLevel, service)
		},
		timeouts: engine.Timeouts{Payment: c.PaymentTimeout, Inventory: c.InventoryTimeout},
		retention: retention{
			outbox: c.OutboxRetention, inbox: c.InboxRetention, idempotency: c.IdempotencyTTL,
			journal: c.JournalRetention, archive: c.JournalArchive,
		},
		mostOpen:  c.MaxOpenOrders,
		dedupeTTL: 24 * time.Hour,
	}
	traces, err := telemetry.StartTracing(ctx, telemetry.TracingConfig{Endpoint: c.OTLPEndpoint, Service: service, Version: version})
	if err != nil {
		return nil, err
	}
	telemetry.Install(traces, process.logger)
	rediscache.Quiet()
	kafkabus.RouteSaramaLogs(process.logger)
	process.closeLast(func() error {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit/4)
		defer cancel()
		return traces.Shutdown(flush)
	})
	return s, nil
}

// connect prepares clients of Kafka, Redis, PostgreSQL, the provider and the mail server from the
// configuration. Nothing is connected yet: what is away is waited for.
func (s *stack) connect(c *config.Config) error {
	logger := s.process.logger
	s.kafka, s.subscriber = kafkaConfig(c, logger), subscriberOf(c.Kafka.Subscriber)
	var err error
	if s.publisher, err = kafkabus.NewPublisher(s.kafka); err != nil {
		return err
	}
	s.process.closeLast(s.publisher.Close)
	if s.admin, err = kafkabus.NewAdmin(s.kafka); err != nil {
		return err
	}
	s.process.closeLast(s.admin.Close)
	if s.openDB == nil {
		s.openDB = func(_ context.Context, schema string) (*sqldb.DB, error) {
			postgres := postgresConfig(c)
			postgres.ByIndex = true
			return sqldb.OpenPostgres(postgres, schema)
		}
	}
	if err := s.connectCache(c, logger); err != nil {
		return err
	}
	s.provider = func(metrics *telemetry.Metrics) (payment.Provider, error) { return s.connectProvider(c, metrics) }
	s.mailer = func(metrics *telemetry.Metrics) (notification.Mailer, error) { return s.connectMail(c, metrics) }
	return nil
}

func (s *stack) connectCache(c *config.Config, logger *slog.Logger) error {
	if c.Redis.Host == "" {
		s.replies = noCache{}
		return nil
	}
	s.redis = newLamp("redis")
	cache, err := rediscache.New(rediscache.Config{
		Addr: net.JoinHostPort(c.Redis.Host, strconv.Itoa(c.Redis.Port)), Password: c.Redis.Password, Logger: logger,
		ReplyTTL: c.IdempotencyTTL, MarkTTL: s.dedupeTTL, OnState: s.redis.set,
	})
	if err != nil {
		return err
	}
	s.process.closeLast(cache.Close)
	s.marks, s.replies = cache, cache
	return nil
}

func (s *stack) connectProvider(c *config.Config, metrics *telemetry.Metrics) (payment.Provider, error) {
	if c.PSPURL == config.PSPInProcess {
		sim, err := simulator.Open("", simulator.Options{Log: s.process.logger})
		if err != nil {
			return nil, err
		}
		s.process.closeLast(sim.Close)
		return psp.NewInProcess(sim, c.PSPTimeout), nil
	}
	shown := newLamp("psp")
	shown.show(metrics)
	client, err := psp.NewClient(psp.Config{
		URL: c.PSPURL, Timeout: c.PSPTimeout,
		Breaker: psp.Breaker{OnChange: shown.set},
	})
	if err != nil {
		return nil, err
	}
	s.process.closeLast(func() error { client.Close(); return nil })
	return client, nil
}

func (s *stack) connectMail(c *config.Config, metrics *telemetry.Metrics) (notification.Mailer, error) {
	if c.SMTP.Host == config.SMTPDiscard {
		return smtpmail.Discard{}, nil
	}
	shown := newLamp("smtp")
	shown.show(metrics)
	sender, err := smtpmail.New(smtpmail.Config{
		Host: c.SMTP.Host, Port: c.SMTP.Port, User: c.SMTP.User, Password: c.SMTP.Password, From: c.FromEmail,
		Breaker: smtpmail.Breaker{OnChange: shown.set},
	})
	if err != nil {
		return nil, err
	}
	s.process.closeLast(sender.Close)
	return sender, nil
}

func kafkaConfig(c *config.Config, logger *slog.Logger) kafkabus.Config {
	return kafkabus.Config{
		Brokers: c.Kafka.Brokers, Partitions: int32(c.Kafka.Partitions), Replication: int16(c.Kafka.Replication),
		Retention: c.Kafka.Retention, Logger: logger,
		Security: kafkabus.Security{
			Protocol: c.Kafka.SecurityProtocol, Mechanism: c.Kafka.SASLMechanism,
			User: c.Kafka.SASLUsername, Password: c.Kafka.SASLPassword, CAFile: c.Kafka.TLSCAFile,
		},
	}
}

// postgresOf names the database that the settings mean, "" for none.
func postgresOf(c *config.Config) string {
	if c.Postgres.Host == "" {
		return ""
	}
	return net.JoinHostPort(c.Postgres.Host, strconv.Itoa(c.Postgres.Port)) + "/" + c.Postgres.DB
}

func postgresConfig(c *config.Config) sqldb.PostgresConfig {
	p := c.Postgres
	return sqldb.PostgresConfig{
		Host: p.Host, Port: strconv.Itoa(p.Port), Database: p.DB, User: p.User, Password: p.Password, SSLMode: p.SSLMode,
	}
}
