package embedded

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxLetter     = 4 << 20
	maxRecipients = 100
	smtpPatience  = 5 * time.Minute
)

// Mail is an SMTP server that delivers to a folder. It takes every letter for every address, and
// says yes once the letter is on disk.
type Mail struct {
	server *smtp.Server
	ln     net.Listener
	box    *box
	done   sync.WaitGroup
}

// StartMail serves SMTP on a loopback address and keeps what comes in dir, which is made when it
// is not there: one .eml file a delivery, named after the letter's Message-ID without its
// brackets, with .2, .3 and so on before .eml when the letter comes again. It fails with a
// PortError, or when dir cannot be written.
func StartMail(addr, dir string, log *slog.Logger) (*Mail, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	box, err := openBox(dir)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	ln, err := listen("mail", addr)
	if err != nil {
		return nil, errors.Join(err, box.close())
	}
	m := &Mail{ln: ln, box: box}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{box: box, log: log}, nil
	}))
	m.server.Domain = "localhost"
	m.server.MaxMessageBytes = maxLetter
	m.server.MaxRecipients = maxRecipients
	m.server.ReadTimeout, m.server.WriteTimeout = smtpPatience, smtpPatience
	m.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	m.done.Go(func() {
		if err := m.server.Serve(ln); err != nil {
			log.Error("the mail server stopped", "error", err)
		}
	})
	return m, nil
}

// Addr is the address to give to clients.
func (m *Mail) Addr() string { return m.ln.Addr().String() }

// Close ends the server and its connections. A letter in hand gets no yes; its sender tries again.
func (m *Mail) Close() error {
	err := m.server.Close()
	// A server that has not come to serve yet does not know its listener.
	err = errors.Join(err, closed(m.ln))
	m.done.Wait()
	return errors.Join(err, m.box.close())
}

// session is one SMTP connection.
type session struct {
	box *box
	log *slog.Logger
}

// Mail takes any sender.
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt takes any recipient.
func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Reset has nothing to forget: the letter's own header says all that is kept.
func (s *session) Reset() {}

// Logout ends the session.
func (s *session) Logout() error { return nil }

// Data keeps the letter. A disk that fails is a matter of trying again (452, RFC 5321 section 4.2.2).
func (s *session) Data(r io.Reader) error {
	letter, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.box.deliver(letter); err != nil {
		s.log.Error("a letter was not kept", "error", err)
		if errors.Is(err, os.ErrClosed) {
			return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "closing"}
		}
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "cannot keep the letter"}
	}
	return nil
}
