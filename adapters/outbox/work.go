package outbox

import (
	"context"
	"time"

	"millrace/adapters/failpoint"
	"millrace/adapters/sqldb"
)

const lastDatabaseRetry = 2 * time.Second

// found is the result of one read.
type found struct {
	rows  []*row
	all   bool // there were no more
	sweep bool
	epoch int
}

// read looks for rows, when there may be some and room for them. It returns at once.
func (l *loop) read() {
	if !l.leading || !l.dirty || l.reading || len(l.lanes.ready) >= l.window || len(l.lanes.held) >= memory*l.window {
		return
	}
	from := max(0, l.newest-lateness)
	if l.sweep {
		from = 0
	}
	r, known, limit := found{sweep: l.sweep, epoch: l.epoch}, l.lanes.seqs(), l.window
	l.dirty, l.reading = false, true
	go func() {
		l.retry(l.open, "read the outbox", func(ctx context.Context) (err error) {
			r.rows, err = l.table.pending(ctx, from, known, limit)
			return err
		})
		r.all = len(r.rows) < limit
		l.reads <- r
	}()
}

func (l *loop) accept(r found) {
	l.reading = false
	if r.epoch != l.epoch {
		return
	}
	l.complete = r.all
	if r.all && r.sweep {
		l.sweep = false
	}
	if !r.all {
		l.dirty = true
	}
	for _, row := range r.rows {
		l.lanes.add(row)
		l.newest = max(l.newest, row.seq)
	}
	l.next, l.sending = nil, nil // an earlier row of the same aggregate may have come
}

// marked is the result of one statement that marked rows, all read after the same number of replays.
type marked struct {
	replays int64
	seqs    []int64
	rows    int
}

// took keeps a row that is in Kafka until it is marked.
func (l *loop) took(r *row) {
	if len(l.acked) == 0 {
		l.ripe = false
		l.ripen.Reset(markAfter)
	}
	l.acked = append(l.acked, r)
}

// stopped is a timer that runs when it is set.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// mark writes down what Kafka took, when that has waited long enough or is much. It returns at once.
func (l *loop) mark() {
	if l.marking || len(l.acked) == 0 || !l.ripe && len(l.acked) < l.window {
		return
	}
	m := marked{replays: l.acked[0].replays}
	rest := l.acked[:0]
	for _, r := range l.acked {
		if r.replays == m.replays {
			m.seqs = append(m.seqs, r.seq)
		} else {
			rest = append(rest, r)
		}
	}
	l.acked, l.marking, l.ripe = rest, true, len(rest) > 0
	go func() {
		l.retry(l.send, "mark the outbox", func(ctx context.Context) (err error) {
			m.rows, err = l.table.mark(ctx, m.seqs, m.replays)
			return err
		})
		l.marks <- m
	}()
}

func (l *loop) finish(m marked) {
	l.marking = false
	l.lanes.drop(m.seqs...)
	if m.rows < len(m.seqs) { // the outbox was replayed meanwhile: they are read and sent again
		l.dirty, l.sweep = true, true
	}
	failpoint.HitIf(len(l.lanes.held) > 0, failpoint.RelayMidBatch, l.table.db.Name)
	l.observer.Published(m.rows)
}

// report tells how much waits. Mostly the loop knows; only behind a backlog the table is asked.
func (l *loop) report() {
	if !l.leading {
		return
	}
	if l.complete && !l.dirty {
		l.pending(len(l.lanes.held), l.lanes.oldest())
		return
	}
	select {
	case l.counts <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-l.counts }()
		if n, oldest, err := l.table.backlog(l.open); err == nil {
			l.pending(n, oldest)
		}
	}()
}

func (l *loop) pending(n int, oldest time.Time) {
	var age time.Duration
	if n > 0 && !oldest.IsZero() {
		age = max(0, l.clock().Sub(oldest))
	}
	l.observer.Pending(n, age)
}

// retry runs do until it succeeds or ctx ends, and logs failures every now and again.
func (l *loop) retry(ctx context.Context, what string, do func(context.Context) error) {
	var logged time.Time
	for wait := firstRetry; ; wait = min(2*wait, lastDatabaseRetry) {
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
