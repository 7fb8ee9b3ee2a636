// Package recovery cuts things off in the middle and sees them go on: processes that die between an
// act and its commit, consumers that lose a partition while a handler runs. It puts ports and
// adapters together as cmd does, on databases of its own.
package recovery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/messages"
	"millrace/app/notification"
	"millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/ports/worker"
)

// patience bounds every wait; nothing waits that long when all is well.
const patience = 30 * time.Second

// errDead is what everything gives in a process that has died.
var errDead = errors.New("the process is dead")

// process is one life of a process. It dies at the n-th point that it passes, and from then on
// nothing that it does reaches anybody: no call, no statement, no postponed intent.
type process struct {
	dieAt int
	deaf  bool // it claims nothing, and does only what its own commits hand over

	mu     sync.Mutex
	passed int
	diedAt string // the point, empty while alive
	died   chan struct{}
}

// aliveUntil makes a process that dies at its n-th point; 0 for one that lives.
func aliveUntil(n int) *process { return &process{dieAt: n, died: make(chan struct{})} }

// at passes a point of the code.
func (p *process) at(point string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.diedAt != "" {
		return errDead
	}
	if p.passed++; p.passed == p.dieAt {
		p.diedAt = point
		close(p.died)
		return errDead
	}
	return nil
}

// alive fails with errDead afterwards.
func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.diedAt != "" {
		return errDead
	}
	return nil
}

func (p *process) death() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.diedAt
}

// mortalStore is where a process that may die claims its intents.
type mortalStore struct {
	*sqlstore.Intents
	*process
}

func (s mortalStore) Claim(ctx context.Context, n int) ([]intent.Intent, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	if s.deaf {
		return nil, nil
	}
	return s.Intents.Claim(ctx, n)
}

func (s mortalStore) Postpone(ctx context.Context, in intent.Intent, after time.Duration, cause error) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Intents.Postpone(ctx, in, min(after, 20*time.Millisecond), cause)
}

func (s mortalStore) Bury(ctx context.Context, in intent.Intent, cause error) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Intents.Bury(ctx, in, cause)
}

// mortalProvider is the way to the payment provider.
type mortalProvider struct {
	payment.Provider
	*process
	keys func(key string) // hears the key of every capture and refund
}

func around[T any](p *process, what string, call func() (T, error)) (T, error) {
	var none T
	if err := p.at("before " + what); err != nil {
		return none, err
	}
	answer, err := call()
	if dead := p.at("after " + what); dead != nil {
		return none, dead
	}
	return answer, err
}

func (p mortalProvider) Capture(ctx context.Context, c payment.Charge) (payment.Fate, error) {
	return around(p.process, "capture", func() (payment.Fate, error) {
		p.keys(c.Key)
		return p.Provider.Capture(ctx, c)
	})
}

func (p mortalProvider) Void(ctx context.Context, key string) (bool, error) {
	return around(p.process, "void", func() (bool, error) { return p.Provider.Void(ctx, key) })
}

func (p mortalProvider) Refund(ctx context.Context, key, captureKey string, amount money.Amount) error {
	_, err := around(p.process, "refund", func() (struct{}, error) {
		p.keys(key)
		return struct{}{}, p.Provider.Refund(ctx, key, captureKey, amount)
	})
	return err
}

func (p mortalProvider) Find(ctx context.Context, key string) (payment.Fate, error) {
	return around(p.process, "find", func() (payment.Fate, error) { return p.Provider.Find(ctx, key) })
}

// transaction runs a unit of work of a process that may die around its commit.
func transaction(p *process, do func(beforeCommit func() error) error) error {
	if err := p.at("before the second transaction"); err != nil {
		return err
	}
	if err := do(func() error { return p.at("before its commit") }); err != nil {
		return err
	}
	return p.at("after its commit")
}

type mortalPayments struct {
	*sqlstore.Payments
	*process
}

func (s mortalPayments) Do(ctx context.Context, fn func(payment.Tx) error) error {
	return transaction(s.process, func(beforeCommit func() error) error {
		return s.Payments.Do(ctx, func(tx payment.Tx) error { return errors.Join(fn(tx), beforeCommit()) })
	})
}

type mortalNotices struct {
	*sqlstore.Notifications
	*process
}

func (s mortalNotices) Do(ctx context.Context, fn func(notification.Tx) error) error {
	return transaction(s.process, func(beforeCommit func() error) error {
		return s.Notifications.Do(ctx, func(tx notification.Tx) error { return errors.Join(fn(tx), beforeCommit()) })
	})
}

type mortalMailer struct {
	notification.Mailer
	*process
}

func (m mortalMailer) Send(ctx context.Context, letter notification.Mail) error {
	_, err := around(m.process, "the mail", func() (struct{}, error) { return struct{}{}, m.Mailer.Send(ctx, letter) })
	return err
}

// work runs a process' worker and gives the function that ends it.
func (p *process) work(t *testing.T, intents *sqlstore.Intents, handlers map[intent.Kind]worker.Handler, seen worker.Observer) (stop func()) {
	t.Helper()
	n := worker.NewIntents(mortalStore{intents, p}, handlers, worker.IntentOptions{
		Sweep: 20 * time.Millisecond, Observer: seen, Logger: slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Run(ctx) }()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// until waits for a condition, or for the process to die.
func (p *process) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-p.died:
			return
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

type nobody struct{}

func (nobody) Duplicate(string)                              {}
func (nobody) Parked(string)                                 {}
func (nobody) CommitBatch(int)                               {}
func (nobody) PaymentFailed(string)                          {}
func (nobody) IntentAttempted(string, string, time.Duration) {}
func (nobody) OrderCompleted(string, string, time.Duration)  {}
func (nobody) Handled(string, string, time.Duration)         {}
func (nobody) DeadLettered(string)                           {}
func (nobody) Unknown(string, string)                        {}

func coreOn(db *sqldb.DB, service string) *sqlstore.Core {
	logger := slog.New(slog.DiscardHandler)
	return sqlstore.NewCore(sqlstore.Config{
		DB: db, Service: service, Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: nobody{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: time.Now,
	})
}

func count(t *testing.T, db *sqldb.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.Read.GetContext(t.Context(), &n, db.Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func delivered(ctx context.Context, id string) context.Context {
	return messages.WithCause(ctx, messages.Cause{Consumer: "c", MessageID: id, CausationID: id})
}
