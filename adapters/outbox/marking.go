package outbox

import (
	"context"
	"time"

	"millrace/adapters/failpoint"
)

// markAfter is how long a row that is in Kafka waits for others to be marked with. Nobody waits for a mark;
// one for every message would be a commit each while little happens, as many as all handlers need.
// After a crash what was not marked is sent again, and known to the inboxes.
const markAfter = 50 * time.Millisecond

// markResult is the result of one statement that marked rows, all read after the same number of replays.
type markResult struct {
	replays int64
	seqs    []int64
	rows    int // that were marked
}

// keepToMark keeps a row that is in Kafka until it is marked.
func (l *loop) keepToMark(r *row) {
	if len(l.unmarked) == 0 {
		l.markDue = false
		l.markTimer.Reset(markAfter)
	}
	l.unmarked = append(l.unmarked, r)
}

// mark writes down what Kafka took, when that has waited long enough or is much. It returns at once.
func (l *loop) mark() {
	if l.marking || len(l.unmarked) == 0 || !l.markDue && len(l.unmarked) < l.window {
		return
	}
	m := markResult{replays: l.unmarked[0].replays}
	rest := l.unmarked[:0]
	for _, r := range l.unmarked {
		if r.replays == m.replays {
			m.seqs = append(m.seqs, r.seq)
		} else {
			rest = append(rest, r)
		}
	}
	l.unmarked, l.marking, l.markDue = rest, true, len(rest) > 0
	go func() {
		l.retry(l.send, "mark the outbox", func(ctx context.Context) (err error) {
			m.rows, err = l.table.mark(ctx, m.seqs, m.replays)
			return err
		})
		l.markDone <- m
	}()
}

// acceptMark forgets what is marked.
func (l *loop) acceptMark(m markResult) {
	l.marking = false
	l.lanes.drop(m.seqs...)
	if m.rows < len(m.seqs) { // the outbox was replayed meanwhile: they are read and sent again
		l.mayHaveMore, l.fullScan = true, true
	}
	failpoint.HitIf(len(l.lanes.held) > 0, failpoint.RelayMidBatch, l.table.db.Name)
	l.observer.Published(m.rows)
}

// stoppedTimer is a timer that runs when it is set.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
