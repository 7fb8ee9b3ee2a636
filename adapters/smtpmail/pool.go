package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sony/gobreaker/v2"
	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"millrace/adapters/failpoint"
	"millrace/app/messages"
)

// idleFor is how long a connection may wait for its next letter. Servers hang up after minutes.
const idleFor = 30 * time.Second

// pool keeps connections between letters. Every letter has one to itself.
type pool struct {
	client *gomail.Client
	slots  chan struct{} // taken by letters on their way
	idle   chan *conn
	// Inside the slots, so that whoever only waited for one is not taken for a failure.
	circuit *gobreaker.CircuitBreaker[struct{}]
}

// conn is a connection that has said hello.
type conn struct {
	smtp *smtp.Client
	raw  net.Conn
	used time.Time // zero until it carried its first letter
}

func newPool(c Config) (*pool, error) {
	options := []gomail.Option{
		gomail.WithPort(c.Port), gomail.WithTimeout(c.Timeout), gomail.WithDialContextFunc(dialer(c)),
		// A letter ends its own transaction (RFC 5321, section 4.1.1.4), and a connection that
		// went stale shows at the next command: neither needs a round trip of its own.
		gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch c.TLS {
	case Required:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Implicit:
		options = append(options, gomail.WithSSL())
	case Off:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if c.User != "" {
		options = append(options, gomail.WithUsername(c.User), gomail.WithPassword(c.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(c.Host, options...)
	if err != nil {
		return nil, err
	}
	return &pool{client: client, slots: make(chan struct{}, c.Connections), idle: make(chan *conn, c.Connections), circuit: newCircuit(c.Breaker)}, nil
}

// dialed carries the socket out of the library, which keeps it open when the greeting fails.
type dialed struct{ raw net.Conn }

type dialedKey struct{}

func dialer(c Config) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var raw net.Conn
		var err error
		if c.TLS == Implicit {
			raw, err = (&tls.Dialer{Config: &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}}).DialContext(ctx, network, address)
		} else {
			raw, err = new(net.Dialer).DialContext(ctx, network, address)
		}
		if d, ok := ctx.Value(dialedKey{}).(*dialed); ok && err == nil {
			d.raw = raw
		}
		return raw, err
	}
}

func (p *pool) send(ctx context.Context, letter *gomail.Msg) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ErrUnavailable.Because(ctx.Err())
	}
	return p.guarded(func() error { return p.deliver(ctx, letter) })
}

// deliver carries a letter over a kept connection, or a new one.
func (p *pool) deliver(ctx context.Context, letter *gomail.Msg) error {
	if c := p.take(); c != nil {
		err := p.carry(ctx, c, letter)
		if err == nil || !stale(err) {
			return classified(ctx, err)
		}
	}
	c, err := p.dial(ctx)
	if err != nil {
		return ErrUnavailable.Because(err)
	}
	return classified(ctx, p.carry(ctx, c, letter))
}

// take gives an idle connection, or nil when there is none that is still good.
func (p *pool) take() *conn {
	for {
		select {
		case c := <-p.idle:
			if time.Since(c.used) < idleFor {
				return c
			}
			p.hangUp(c)
		default:
			return nil
		}
	}
}

func (p *pool) dial(ctx context.Context) (*conn, error) {
	var d dialed
	client, err := p.client.DialToSMTPClientWithContext(context.WithValue(ctx, dialedKey{}, &d))
	if err != nil {
		if d.raw != nil {
			_ = d.raw.Close() // it is of no use any more
		}
		return nil, err
	}
	return &conn{smtp: client, raw: d.raw}, nil
}

// carry sends one letter. The connection is kept when all went well, and given up otherwise.
func (p *pool) carry(ctx context.Context, c *conn, letter *gomail.Msg) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() }) // ends a wait for the server
	err := p.client.SendWithSMTPClient(c.smtp, letter)
	if !stop() || err != nil {
		_ = c.raw.Close() // it is of no use any more
		return err
	}
	failpoint.Hit(failpoint.MailTaken, messages.NotificationService)
	c.used = time.Now()
	select {
	case p.idle <- c:
	default:
		p.hangUp(c)
	}
	return nil
}

// stale says whether a kept connection had ended before the server saw anything of the letter.
func stale(err error) bool {
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return false
	}
	before := failed.Reason == gomail.ErrConnCheck || failed.Reason == gomail.ErrSMTPMailFrom
	return before && (failed.ErrorCode() == 0 || failed.ErrorCode() == 421)
}

func classified(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ErrUnavailable.Because(fmt.Errorf("%w: %w", ctx.Err(), err))
	}
	var failed *gomail.SendError
	if errors.As(err, &failed) && failed.ErrorCode() >= 500 {
		return ErrRefused.Because(err)
	}
	return ErrUnavailable.Because(err)
}

func (p *pool) hangUp(c *conn) {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second)) // goodbye is a courtesy
	_ = p.client.CloseWithSMTPClient(c.smtp)
	_ = c.raw.Close()
}

func (p *pool) close() error {
	for {
		select {
		case c := <-p.idle:
			p.hangUp(c)
		default:
			return nil
		}
	}
}
