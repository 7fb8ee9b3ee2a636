package worker

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"millrace/domain/fault"
	"millrace/sagas/engine"
)

// TimerStore is where the durable timers of sagas are found.
type TimerStore interface {
	// Due gives up to n timers whose time has come by the database's clock, the oldest first.
	Due(ctx context.Context, n int) ([]engine.DueTimer, error)
	// NextDue is how long it is, by the database's clock, until the next timer is due; false when
	// there is no timer.
	NextDue(ctx context.Context) (time.Duration, bool, error)
}

// TimerOptions are the bounds of Timers. Zero values stand for the defaults.
type TimerOptions struct {
	Concurrency int           // timers fired at once; 16
	Batch       int           // timers fetched at once; 256
	Poll        time.Duration // longest sleep between two looks; 1 s
	Deadline    time.Duration // for one look and for one firing; 15 s
	Grace       time.Duration // how long the end of Run waits for firings in hand; 5 s
	Logger      *slog.Logger
}

// Timers is the loop that fires saga timers. A timer stays in its store until what it fires has
// committed, so one that fails, or whose process dies, is found again by the next look.
type Timers struct {
	store TimerStore
	fire  func(context.Context, engine.DueTimer) error
	opts  TimerOptions
	looks *outage
}

const (
	// shortestSleep keeps timers that follow each other closely from turning the loop into a spin.
	shortestSleep = 5 * time.Millisecond
	// longestBackoff bounds the pause while the database is away.
	longestBackoff = 10 * time.Second
)

// NewTimers makes the loop. fire has to be idempotent: a timer can be found again by another
// process while it is being fired, and once more after a crash.
func NewTimers(store TimerStore, fire func(context.Context, engine.DueTimer) error, opts TimerOptions) *Timers {
	opts.Concurrency = cmp.Or(opts.Concurrency, 16)
	opts.Batch = cmp.Or(opts.Batch, 256)
	opts.Poll = cmp.Or(opts.Poll, time.Second)
	opts.Deadline = cmp.Or(opts.Deadline, 15*time.Second)
	opts.Grace = cmp.Or(opts.Grace, 5*time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Timers{store: store, fire: fire, opts: opts, looks: &outage{logger: opts.Logger, what: "looking for due timers"}}
}

// Run fires timers until ctx ends, then waits for those in hand, for Grace at most. It returns nil.
func (t *Timers) Run(ctx context.Context) error {
	backoff := t.opts.Poll
	stuck := 0 // timers that stay due: the next batch must reach past them
	var last map[engine.DueTimer]bool
	for ctx.Err() == nil {
		want := t.opts.Batch + stuck
		due, err := t.look(ctx, want)
		if err != nil {
			sleep(ctx, backoff)
			backoff = min(2*backoff, longestBackoff)
			continue
		}
		backoff = t.opts.Poll
		now, again := seen(due, last)
		last, stuck = now, max(again, t.round(ctx, due))
		switch {
		case stuck > 0:
			sleep(ctx, t.opts.Poll)
		case len(due) < want:
			t.rest(ctx)
		}
	}
	return nil
}

// seen gives the timers of a round as a set, and the number of those that were in the last round
// too: they failed, or their firing left them due.
func seen(due []engine.DueTimer, last map[engine.DueTimer]bool) (set map[engine.DueTimer]bool, again int) {
	set = make(map[engine.DueTimer]bool, len(due))
	for _, timer := range due {
		set[timer] = true
		if last[timer] {
			again++
		}
	}
	return set, again
}

func (t *Timers) look(ctx context.Context, n int) ([]engine.DueTimer, error) {
	looking, cancel := context.WithTimeout(ctx, t.opts.Deadline)
	defer cancel()
	due, err := t.store.Due(looking, n)
	if ctx.Err() == nil {
		t.looks.report(ctx, err)
	}
	return due, err
}

// round fires all that is due and gives the number of those that failed. It ends early when ctx
// does: nothing new is begun, and what is in hand is waited for.
func (t *Timers) round(ctx context.Context, due []engine.DueTimer) (failed int) {
	acts, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, t.opts.Concurrency)
	)
	for _, timer := range due {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			if !t.fired(acts, timer) {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		if !waitFor(done, t.opts.Grace) {
			cancel(errGrace)
			waitFor(done, time.Second)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return failed
}

// fired reports whether the timer needs no other attempt.
func (t *Timers) fired(ctx context.Context, timer engine.DueTimer) bool {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Deadline)
	defer cancel()
	err := recovered(ctx, t.opts.Logger, "timer "+timer.Name, func(ctx context.Context) error { return t.fire(ctx, timer) })
	if err == nil {
		return true
	}
	level := slog.LevelWarn
	if fault.KindOf(err) == fault.Conflict {
		level = slog.LevelDebug // somebody else moved the saga: the next look tells whether it is still due
	}
	t.opts.Logger.Log(ctx, level, "a saga timer could not be fired; it is tried again",
		"correlationId", timer.OrderID, "timer", timer.Name, "entry", timer.Entry, "error", err)
	return false
}

// rest sleeps until the next timer is due, at most Poll: another process may set an earlier one.
func (t *Timers) rest(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, t.opts.Deadline)
	next, found, err := t.store.NextDue(asking)
	cancel()
	wait := t.opts.Poll
	if err == nil && found { // an error is reported by the next look, if it lasts
		wait = min(wait, max(next, shortestSleep))
	}
	sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
