// Package worker is the driving side for what no message and no request starts: intents that wait
// for their act in the outside world, saga timers whose time has come, and periodic chores.
//
// It decides when something runs, how many at once, and what a failure leads to. What is done is
// decided in app and sagas, and where it is stored in adapters: neither SQL nor a provider may be
// in this package.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// errGrace is why an act is cancelled when the service stops and its patience is over.
var errGrace = errors.New("the service is stopping")

// recovered runs fn and makes an error of its panic, so that a panic is one failed attempt.
func recovered(ctx context.Context, logger *slog.Logger, what string, fn func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", what, p)
			logger.ErrorContext(ctx, "recovered from a panic", "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	return fn(ctx)
}

// outage logs that something fails, and that it works again, once each: a dependency that is away
// for an hour is two lines and not thousands.
type outage struct {
	logger *slog.Logger
	what   string
	mu     sync.Mutex
	since  time.Time // zero while all is well
}

func (o *outage) report(ctx context.Context, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		o.logger.WarnContext(ctx, "something fails; it is tried again until it works", "what", o.what, "error", err)
	case err == nil && !o.since.IsZero():
		o.logger.InfoContext(ctx, "it works again", "what", o.what, "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}

// waitFor waits until done is closed, for at most a while, and says whether it was.
func waitFor(done <-chan struct{}, atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
