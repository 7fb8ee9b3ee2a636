package main

import (
	"bytes"
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
	"time"

	"github.com/emersion/go-smtp"
)

// letter is one line of the mail server's book: what came, and what was answered.
type letter struct {
	At        int64  `json:"at"` // microseconds since 1970
	MessageID string `json:"messageId"`
	Order     string `json:"order"`
	To        string `json:"to"`
	Code      int    `json:"code"`
}

const (
	lettersFile = "letters.jsonl"
	moodFile    = "mood" // "250", "slow 2s", "451" or "550 N" (the next N letters)
)

// mailServer takes letters as its mood is. A letter that is taken is on disk before the sender
// hears of it.
type mailServer struct {
	dir  string
	book *ledger

	mu      sync.Mutex
	mood    string
	refused int // since the mood changed
}

func runSink(ctx context.Context, address, dir string) error {
	book, err := openLedger(filepath.Join(dir, lettersFile))
	if err != nil {
		return err
	}
	m := &mailServer{dir: dir, book: book}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{server: m}, nil }))
	s.Domain, s.MaxMessageBytes = "localhost", 4<<20
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// answer decides what becomes of the next letter.
func (m *mailServer) answer() (code int, after time.Duration) {
	text, err := os.ReadFile(filepath.Join(m.dir, moodFile))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && string(text) != m.mood {
		m.mood, m.refused = string(text), 0
	}
	words := append(strings.Fields(m.mood), "", "")
	switch words[0] {
	case "slow":
		after, _ = time.ParseDuration(words[1])
	case "451":
		return 451, 0
	case "550":
		if most, _ := strconv.Atoi(words[1]); m.refused < most {
			m.refused++
			return 550, 0
		}
	}
	return 250, after
}

type mailSession struct {
	server *mailServer
	to     string
}

// Mail takes any sender.
func (*mailSession) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt takes any recipient.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

// Reset forgets the recipient.
func (s *mailSession) Reset() { s.to = "" }

// Logout ends the session.
func (*mailSession) Logout() error { return nil }

// Data writes the letter down with its answer, and gives it.
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	read, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return &smtp.SMTPError{Code: 554, Message: "that is no letter"}
	}
	code, after := s.server.answer()
	time.Sleep(after)
	if err := s.server.book.write(letter{
		At: time.Now().UnixMicro(), MessageID: strings.Trim(read.Header.Get("Message-ID"), "<>"),
		Order: read.Header.Get("X-Order-ID"), To: s.to, Code: code,
	}); err != nil {
		return &smtp.SMTPError{Code: 452, Message: "cannot keep the letter"}
	}
	if code != 250 {
		return &smtp.SMTPError{Code: code, Message: "not in the mood"}
	}
	return nil
}
