package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"sync"

	"github.com/emersion/go-smtp"
)

// sink is a mail server that keeps no letters but counts them, by Message-ID.
type sink struct {
	server *smtp.Server
	mu     sync.Mutex
	ids    map[string]int
}

func newSink(ctx context.Context, port int) (*sink, error) {
	s := &sink{ids: map[string]int{}}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{s}, nil }))
	s.server.Domain = "localhost"
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// orders gives how many orders have their mail: a repeated letter has the same id.
func (s *sink) orders() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

func (s *sink) close() error {
	if err := s.server.Close(); !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

type session struct{ sink *sink }

func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (*session) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s *session) Data(r io.Reader) error {
	letter, err := mail.ReadMessage(r)
	if err != nil {
		return fmt.Errorf("read the letter: %w", err)
	}
	if _, err := io.Copy(io.Discard, letter.Body); err != nil {
		return fmt.Errorf("read the letter: %w", err)
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.ids[letter.Header.Get("Message-ID")]++
	return nil
}
