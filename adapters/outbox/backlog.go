package outbox

import "time"

const reportEvery = 5 // polls

// report tells how much waits. Mostly the loop knows; only behind a backlog the table is asked.
func (l *loop) report() {
	if !l.leading {
		return
	}
	if l.complete && !l.mayHaveMore {
		l.pending(len(l.lanes.held), l.lanes.oldest())
		return
	}
	select {
	case l.counting <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-l.counting }()
		if n, oldest, err := l.table.backlog(l.open); err == nil {
			l.pending(n, oldest)
		}
	}()
}

// pending tells of n rows, of which the oldest was written at a time.
func (l *loop) pending(n int, oldest time.Time) {
	var age time.Duration
	if n > 0 && !oldest.IsZero() {
		age = max(0, l.clock().Sub(oldest))
	}
	l.observer.Pending(n, age)
}
