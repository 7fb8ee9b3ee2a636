package smtpmail_test

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"millrace/adapters/smtpmail"
	"millrace/domain/fault"
)

// refusing is an address where nobody listens, and counts nothing.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	return addr
}

// heard collects what a breaker says.
type heard struct {
	mu     sync.Mutex
	states []string
}

func (h *heard) hear(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, state)
}

func (h *heard) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.states)
}

func TestAMailServerThatIsAwayIsLeftAloneAndUsedAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	addr, says := refusing(t), &heard{}
	s := sender(t, addr, func(c *smtpmail.Config) {
		c.Breaker = smtpmail.Breaker{After: 3, Pause: 50 * time.Millisecond, OnChange: says.hear}
	})
	for range 3 {
		wantKind(t, "a letter to nobody", s.Send(t.Context(), letter("ord_1")), fault.Unavailable)
	}
	if got := says.said(); !slices.Equal(got, []string{"open"}) {
		t.Fatalf("after three failures in a row it said %v", got)
	}
	sink(t, addr) // it is back
	deadline := time.Now().Add(10 * time.Second)
	for s.Send(t.Context(), letter("ord_1")) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it is left alone for ever")
		}
	}
	got := says.said()
	if got[len(got)-1] != "closed" {
		t.Errorf("it said %v", got)
	}
}

func TestWhileTheCircuitIsOpenNoConnectionIsMade(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	s := sender(t, l.Addr().String(), func(c *smtpmail.Config) { c.Breaker = smtpmail.Breaker{After: 2, Pause: time.Hour} })
	for range 10 {
		wantKind(t, "a letter", s.Send(t.Context(), letter("ord_1")), fault.Unavailable)
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections, and the second failure opened the circuit", n)
	}
}

func TestALetterThatIsPutOffOrRefusedStopsNoOthers(t *testing.T) {
	t.Parallel()
	for _, answer := range []*smtp.SMTPError{
		{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "mailbox busy"},
		{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"},
	} {
		says := &heard{}
		addr := scripted(t, func(*smtp.Conn) (smtp.Session, error) { return &answers{rcpt: answer}, nil })
		s := sender(t, addr, func(c *smtpmail.Config) {
			c.Breaker = smtpmail.Breaker{After: 1, Pause: time.Hour, OnChange: says.hear}
		})
		for range 5 {
			err := s.Send(t.Context(), letter("ord_1"))
			if !errors.Is(err, smtpmail.ErrUnavailable) && !errors.Is(err, smtpmail.ErrRefused) {
				t.Errorf("%d gives %v", answer.Code, err)
			}
		}
		if got := says.said(); len(got) > 0 {
			t.Errorf("%d: the circuit said %v", answer.Code, got)
		}
	}
}
