package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Periodic runs fn until ctx ends: first after a random part of jitter, so that services started
// together do not ask together, then with a pause of every plus a random part of jitter behind
// each run. Runs never overlap, and the one in hand is waited for. It is for gauges, retention and
// the like; see Logged for what becomes of their errors.
func Periodic(ctx context.Context, every, jitter time.Duration, fn func(context.Context)) {
	timer := time.NewTimer(upTo(jitter))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return
		}
		fn(ctx)
		timer.Reset(every + upTo(jitter))
	}
}

// Logged gives a chore that may fail or panic the shape that Periodic takes. It logs when the chore
// begins to fail and when it works again, not every failure between the two.
func Logged(logger *slog.Logger, name string, fn func(context.Context) error) func(context.Context) {
	state := &outage{logger: logger, what: name}
	return func(ctx context.Context) {
		err := recovered(ctx, logger, name, fn)
		if err != nil && ctx.Err() != nil {
			return // it was interrupted, which says nothing about it
		}
		state.report(ctx, err)
	}
}

func upTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}
