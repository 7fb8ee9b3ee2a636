package outbox

import (
	"context"
	"time"

	"millrace/adapters/sqldb"
)

// longestDatabaseRetry is how long the relay waits between attempts while its database is away, at most.
const longestDatabaseRetry = 2 * time.Second

// retry runs do until it succeeds or ctx ends, and logs failures every now and again.
func (l *loop) retry(ctx context.Context, what string, do func(context.Context) error) {
	var logged time.Time
	for wait := firstRetry; ; wait = min(2*wait, longestDatabaseRetry) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(logged) >= logEvery {
			logged = time.Now()
			l.log.Warn("the relay waits for its database", "doing", what, "error", sqldb.Classify(err))
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits, and says whether it was for the whole time.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
