package smtpmail_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"millrace/adapters/embedded"
	"millrace/adapters/smtpmail"
	"millrace/app/notification"
	"millrace/domain/fault"
)

func letter(order string) notification.Mail {
	return notification.Mail{
		MessageID: order + ".completed@millrace.local", OrderID: order, To: "usr_001@example.com",
		Subject: "Your order is confirmed ✓", Text: "Thank you.\n", HTML: "<p>Thank you.</p>\n",
		At: time.Date(2026, 10, 12, 8, 30, 0, 0, time.UTC),
	}
}

func sink(t *testing.T, addr string) (*embedded.Mail, string) {
	t.Helper()
	dir := t.TempDir()
	m, err := embedded.StartMail(addr, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m, dir
}

func sender(t *testing.T, addr string, change func(*smtpmail.Config)) *smtpmail.Sender {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c := smtpmail.Config{Host: host, Port: n, From: "Millrace <orders@millrace.local>", Timeout: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	s, err := smtpmail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("%s: got %v, want a fault of kind %s", what, err, kind)
	}
}

func TestALetterArrivesWithBothTextsAndItsOwnIdentity(t *testing.T) {
	t.Parallel()
	m, dir := sink(t, "127.0.0.1:0")
	if err := sender(t, m.Addr(), nil).Send(t.Context(), letter("ord_1")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "ord_1.completed@millrace.local.eml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // it was only read
	got, err := mail.ReadMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Message-ID": "<ord_1.completed@millrace.local>", "X-Order-ID": "ord_1",
		"Date": "Mon, 12 Oct 2026 08:30:00 +0000", "From": `"Millrace" <orders@millrace.local>`, "To": "<usr_001@example.com>",
	} {
		if got.Header.Get(header) != want {
			t.Errorf("%s: got %q, want %q", header, got.Header.Get(header), want)
		}
	}
	if kind := got.Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/alternative") {
		t.Errorf("the letter is %s", kind)
	}
	text, html := strings.Index(string(body), "text/plain"), strings.Index(string(body), "text/html")
	if text < 0 || html < text {
		t.Errorf("plain text at %d and HTML at %d; the richest comes last", text, html)
	}
	items, err := m.Mailbox("ord_1")
	if err != nil || len(items) != 1 || items[0].Subject != "Your order is confirmed ✓" || items[0].To != "usr_001@example.com" {
		t.Errorf("the mailbox shows %+v, %v", items, err)
	}
}

func TestManyLettersShareAFewConnections(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := scripted(t, func(*smtp.Conn) (smtp.Session, error) {
		connections.Add(1)
		return &answers{}, nil
	})
	s := sender(t, server, func(c *smtpmail.Config) { c.Connections = 2 })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := s.Send(t.Context(), letter("ord_1")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := connections.Load(); n > 2 {
		t.Errorf("50 letters took %d connections", n)
	}
}

func TestAServerThatRestartedGetsTheNextLetterOverANewConnection(t *testing.T) {
	t.Parallel()
	m, _ := sink(t, "127.0.0.1:0")
	s := sender(t, m.Addr(), nil)
	if err := s.Send(t.Context(), letter("ord_1")); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "while it is away", s.Send(t.Context(), letter("ord_2")), fault.Unavailable)
	again, _ := sink(t, m.Addr())
	if err := s.Send(t.Context(), letter("ord_3")); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	last, _ := sink(t, m.Addr())
	if err := s.Send(t.Context(), letter("ord_4")); err != nil {
		t.Errorf("a stale connection was not replaced: %v", err)
	}
	if items, err := last.Mailbox("ord_4"); err != nil || len(items) != 1 || items[0].Deliveries != 1 {
		t.Errorf("got %+v, %v; want one delivery", items, err)
	}
}

// answers is an SMTP session that says what the test wants.
type answers struct {
	rcpt, data error
	hang       chan struct{}
}

func (a *answers) Mail(string, *smtp.MailOptions) error { return nil }
func (a *answers) Rcpt(string, *smtp.RcptOptions) error { return a.rcpt }
func (a *answers) Reset()                               {}
func (a *answers) Logout() error                        { return nil }

func (a *answers) Data(r io.Reader) error {
	if a.hang != nil {
		<-a.hang
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return a.data
}

func scripted(t *testing.T, backend smtp.BackendFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(backend)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { _ = server.Close(); _ = l.Close(); done.Wait() })
	return l.Addr().String()
}

func TestTheServersNoDecidesWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	no := func(code int) error { return &smtp.SMTPError{Code: code, Message: "no"} }
	for name, c := range map[string]struct {
		session answers
		kind    fault.Kind
	}{
		"mailbox busy":        {answers{rcpt: no(450)}, fault.Unavailable},
		"no such mailbox":     {answers{rcpt: no(550)}, fault.Invalid},
		"disk full":           {answers{data: no(452)}, fault.Unavailable},
		"content is refused":  {answers{data: no(554)}, fault.Invalid},
		"server is going off": {answers{data: no(421)}, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := scripted(t, func(*smtp.Conn) (smtp.Session, error) { return &c.session, nil })
			s := sender(t, addr, nil)
			wantKind(t, name, s.Send(t.Context(), letter("ord_1")), c.kind)
			wantKind(t, "once more", s.Send(t.Context(), letter("ord_1")), c.kind)
		})
	}
}

func TestAServerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	addr := scripted(t, func(*smtp.Conn) (smtp.Session, error) { return &answers{hang: hang}, nil })
	t.Cleanup(func() { close(hang) })
	s := sender(t, addr, func(c *smtpmail.Config) { c.Timeout = 50 * time.Millisecond })
	wantKind(t, "time-out", s.Send(t.Context(), letter("ord_1")), fault.Unavailable)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Send(ctx, letter("ord_1"))
	wantKind(t, "cancelled", err, fault.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be context.Canceled", err)
	}
}

func TestAnAddressThatIsNoneIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	m, _ := sink(t, "127.0.0.1:0")
	bad := letter("ord_1")
	bad.To = "not an address"
	wantKind(t, "to", sender(t, m.Addr(), nil).Send(t.Context(), bad), fault.Invalid)
	_, err := smtpmail.New(smtpmail.Config{Host: "localhost", From: "nobody"})
	wantKind(t, "from", err, fault.Invalid)
	_, err = smtpmail.New(smtpmail.Config{From: "orders@millrace.local"})
	wantKind(t, "no host", err, fault.Invalid)
}

func TestEncryptionThatIsRequiredIsNotGivenUp(t *testing.T) {
	t.Parallel()
	m, _ := sink(t, "127.0.0.1:0")
	s := sender(t, m.Addr(), func(c *smtpmail.Config) { c.TLS = smtpmail.Required })
	wantKind(t, "no STARTTLS", s.Send(t.Context(), letter("ord_1")), fault.Unavailable)
}
