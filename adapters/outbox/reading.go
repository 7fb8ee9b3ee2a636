package outbox

import "context"

const (
	maxWindowsHeld = 16   // windows of rows in memory, when most of them were refused and wait
	lookBack       = 8192 // how far below the newest row one that commits late is looked for at once
)

// readResult is the result of one read.
type readResult struct {
	rows     []*row
	all      bool // there were no more
	fullScan bool // it looked everywhere
	epoch    int  // in which it began
}

// read looks for rows, when there may be some and room for them. It returns at once.
func (l *loop) read() {
	if !l.leading || !l.mayHaveMore || l.reading || len(l.lanes.ready) >= l.window || len(l.lanes.held) >= maxWindowsHeld*l.window {
		return
	}
	from := max(0, l.newest-lookBack)
	if l.fullScan {
		from = 0
	}
	r, known, limit := readResult{fullScan: l.fullScan, epoch: l.epoch}, l.lanes.seqs(), l.window
	l.mayHaveMore, l.reading = false, true
	go func() {
		l.retry(l.open, "read the outbox", func(ctx context.Context) (err error) {
			r.rows, err = l.table.pending(ctx, from, known, limit)
			return err
		})
		r.all = len(r.rows) < limit
		l.readDone <- r
	}()
}

// acceptRead takes in what a read has found, unless this process has ceased or begun to lead meanwhile.
func (l *loop) acceptRead(r readResult) {
	l.reading = false
	if r.epoch != l.epoch {
		return
	}
	l.complete = r.all
	if r.all && r.fullScan {
		l.fullScan = false
	}
	if !r.all {
		l.mayHaveMore = true
	}
	for _, row := range r.rows {
		l.lanes.add(row)
		l.newest = max(l.newest, row.seq)
	}
	l.next, l.nextDelivery = nil, nil // an earlier row of the same aggregate may have come
}
