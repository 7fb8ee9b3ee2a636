package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/sagas/engine"
)

const lease = 30 * time.Second

var errAway = fault.New(fault.Unavailable, "away", "the other side is away")

// row is an intent as a database would keep it.
type row struct {
	in     intent.Intent
	due    time.Time
	buried error
	done   bool
}

// memory is a Store with the promises of the real one.
type memory struct {
	mu     sync.Mutex
	rows   map[string]*row
	order  []string
	away   bool
	claims int
	sent   chan []intent.Intent
}

func newMemory() *memory {
	return &memory{rows: make(map[string]*row), sent: make(chan []intent.Intent, 16)}
}

// write stores an intent that is due at once; commit also hands it over as a commit does.
func (m *memory) write(orderID string, kind intent.Kind) intent.Intent {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := intent.New(orderID, kind)
	m.rows[in.ID] = &row{in: in, due: time.Now()}
	m.order = append(m.order, in.ID)
	return in
}

func (m *memory) commit(orderID string, kind intent.Kind) {
	in := m.write(orderID, kind)
	m.mu.Lock()
	r := m.rows[in.ID]
	r.in.Version, r.in.Attempts, r.due = 1, 1, time.Now().Add(lease)
	r.in.Until = r.due
	in = r.in
	m.mu.Unlock()
	select {
	case m.sent <- []intent.Intent{in}:
	default:
	}
}

func (m *memory) Committed() <-chan []intent.Intent { return m.sent }

func (m *memory) Claim(_ context.Context, n int) ([]intent.Intent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims++
	if m.away {
		return nil, errAway
	}
	var got []intent.Intent
	for _, id := range m.order {
		r := m.rows[id]
		if len(got) == n || r.done || r.buried != nil || r.due.After(time.Now()) {
			continue
		}
		r.in.Version++
		r.in.Attempts++
		r.due = time.Now().Add(lease)
		r.in.Until = r.due
		got = append(got, r.in)
	}
	return got, nil
}

func (m *memory) RenewLease(_ context.Context, in intent.Intent, atLeast time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Until(in.Until) >= atLeast && !m.away {
		return nil
	}
	r := m.rows[in.ID]
	switch {
	case m.away:
		return errAway
	case r.in.Version != in.Version || r.done:
		return fault.New(fault.Conflict, "moved", "somebody else holds the intent")
	}
	r.due = time.Now().Add(lease)
	return nil
}

func (m *memory) Postpone(_ context.Context, in intent.Intent, after time.Duration, _ error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if r := m.rows[in.ID]; r.in.Version == in.Version {
		r.due = time.Now().Add(after)
	}
	return nil
}

func (m *memory) Bury(_ context.Context, in intent.Intent, cause error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rows[in.ID]; r.in.Version == in.Version {
		r.buried = cause
	}
	return nil
}

// settle is the second transaction of a handler: guarded by the version.
func (m *memory) settle(in intent.Intent) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[in.ID]
	if r.in.Version != in.Version || r.done {
		return fault.New(fault.Conflict, "moved", "somebody else holds the intent")
	}
	r.done = true
	return nil
}

func (m *memory) get(id string) row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.rows[id]
}

func (m *memory) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *memory) unsettled() (ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.order {
		if !m.rows[id].done {
			ids = append(ids, id)
		}
	}
	return ids
}

// run starts a loop inside a synctest bubble and gives the function that ends it and waits.
func run(t *testing.T, loop func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- loop(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the loop ended with %v", err)
		}
	}
}

// clock is a TimerStore of timers by their time.
type clock struct {
	mu     sync.Mutex
	timers map[engine.DueTimer]time.Time
	away   bool
	looks  int
}

func newClock() *clock { return &clock{timers: make(map[engine.DueTimer]time.Time)} }

func (c *clock) set(timer engine.DueTimer, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timers[timer] = time.Now().Add(after)
}

func (c *clock) clear(timer engine.DueTimer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.timers, timer)
}

func (c *clock) Due(_ context.Context, n int) ([]engine.DueTimer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	if c.away {
		return nil, errAway
	}
	var due []engine.DueTimer
	for timer, at := range c.timers {
		if !at.After(time.Now()) {
			due = append(due, timer)
		}
	}
	slices.SortFunc(due, func(a, b engine.DueTimer) int { return c.timers[a].Compare(c.timers[b]) })
	return due[:min(n, len(due))], nil
}

func (c *clock) NextDue(context.Context) (time.Duration, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return 0, false, errAway
	}
	var next time.Duration
	found := false
	for _, at := range c.timers {
		if wait := time.Until(at); !found || wait < next {
			next, found = wait, true
		}
	}
	return next, found, nil
}

// journal counts log lines by level.
type journal struct {
	slog.Handler
	mu    sync.Mutex
	lines map[slog.Level]int
}

func newJournal() *journal {
	return &journal{Handler: slog.DiscardHandler, lines: make(map[slog.Level]int)}
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines[r.Level]++
	return nil
}

func (j *journal) count(level slog.Level) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines[level]
}

var errOdd = errors.New("something odd")
