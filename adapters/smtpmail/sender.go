// Package smtpmail hands letters to an SMTP server. It keeps connections, says whether a failure
// is worth another try, and knows nothing of what a letter is about: text, addresses and when to
// try again are decided in app/notification.
package smtpmail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"millrace/app/notification"
	"millrace/domain/fault"
)

// Faults of sending.
var (
	ErrConfig      = fault.New(fault.Invalid, "invalid_smtp_config", "the mail server's settings are wrong")
	ErrUnavailable = fault.New(fault.Unavailable, "mail_server_unavailable", "the mail server does not take letters at the moment")
	ErrRefused     = fault.New(fault.Invalid, "mail_refused", "the mail server refused the letter for good")
	ErrLetter      = fault.New(fault.Invalid, "invalid_letter", "the letter cannot be written")
)

// TLS says how a connection is protected.
type TLS int

// The ways to protect a connection.
const (
	Opportunistic TLS = iota // STARTTLS where the server offers it; on port 465 Implicit
	Required                 // STARTTLS, or no connection
	Implicit                 // TLS from the first byte
	Off                      // never
)

// Config says where the mail server is and who writes.
type Config struct {
	Host        string
	Port        int    // 25 when zero
	User        string // no authentication when empty
	Password    string // never sent in the clear, except to this machine
	From        string // an address, with or without a name
	TLS         TLS
	Timeout     time.Duration // of one letter, connecting included; 10 s when zero
	Connections int           // at the same time, at most; 4 when zero
	Breaker     Breaker
}

// Sender is a notification.Mailer over SMTP. It may be used by many at once.
type Sender struct {
	config Config
	tracer trace.Tracer
	pool   *pool
}

var _ notification.Mailer = (*Sender)(nil)

// New makes a sender and connects to nobody yet. It fails with ErrConfig.
func New(c Config) (*Sender, error) {
	c.Port = cmp.Or(c.Port, 25)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Connections = cmp.Or(c.Connections, 4)
	if c.TLS == Opportunistic && c.Port == 465 {
		c.TLS = Implicit
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return nil, ErrConfig.Because(fmt.Errorf("from %q: %w", c.From, err))
	}
	if c.Host == "" {
		return nil, ErrConfig.Because(errors.New("no host"))
	}
	pool, err := newPool(c)
	if err != nil {
		return nil, ErrConfig.Because(err)
	}
	return &Sender{config: c, tracer: otel.Tracer("millrace/adapters/smtpmail"), pool: pool}, nil
}

// Send returns nil when the server has taken the letter. It fails with ErrUnavailable when it is
// worth trying again (no connection, 4xx, an answer that never came, an account that is refused),
// with ErrRefused when it is not (5xx), and with ErrLetter for an address that is none.
func (s *Sender) Send(ctx context.Context, m notification.Mail) error {
	ctx, span := s.tracer.Start(ctx, "send smtp", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("server.address", s.config.Host),
		attribute.Int("server.port", s.config.Port),
		attribute.String("email.message_id", m.MessageID),
	))
	defer span.End()
	err := s.send(ctx, m)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, fault.CodeOf(err))
		return fmt.Errorf("mail %s: %w", m.MessageID, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, m notification.Mail) error {
	letter, err := compose(s.config.From, m)
	if err != nil {
		return ErrLetter.Because(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.pool.send(ctx, letter)
}

// Close says goodbye to the server on idle connections.
func (s *Sender) Close() error { return s.pool.close() }

// Addr is the server's address, for logs.
func (s *Sender) Addr() string { return net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port)) }

// Discard takes every letter and sends none: for benchmarks.
type Discard struct{}

var _ notification.Mailer = Discard{}

// Send does nothing, successfully.
func (Discard) Send(context.Context, notification.Mail) error { return nil }
