package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/failpoint"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/intent"
)

// batch is one transaction with the members that it commits.
type batch struct {
	core *Core
	ctx  context.Context
	tx   *sqldb.Tx
	now  time.Time

	known  []gatherer // what was read, a loader each, in the order in which they were first asked
	staged []*staged  // in the order in which tables are first touched
	index  map[*table]*staged
	out    []outbox.Record
	done   []*member // those that succeeded, parked ones among them, in the order of their running
	undone []*member // those whose inbox row was written for nothing
}

// staged is the rows of one table, written by one statement.
type staged struct {
	table *table
	rows  [][]any
	took  int64           // how many of them took effect
	told  map[string]bool // first column of those that did, where the table tells
}

// errNothing ends a transaction that has nothing to commit.
var errNothing = errors.New("nothing to commit")

func (c *Core) newBatch(ctx context.Context) *batch {
	return &batch{
		core: c, ctx: ctx, now: c.Now().UTC().Truncate(time.Microsecond),
		index: map[*table]*staged{},
	}
}

// commit runs the members in one transaction. It fails when the transaction does: then none of them
// has left anything. What is a member's own failure is written down at the member, and its
// neighbours are committed.
func (c *Core) commit(ctx context.Context, members []*member) error {
	b := c.newBatch(ctx)
	failpoint.Hit(failpoint.BeforeTransaction, c.Service)
	err := c.DB.InBatchTx(ctx, func(tx *sqldb.Tx) error {
		b.tx = tx
		fresh, err := b.claim(members)
		if err != nil {
			return err
		}
		if err := b.decide(fresh); err != nil {
			return err
		}
		if len(b.done) == 0 {
			return errNothing
		}
		if err := b.flush(); err != nil {
			return err
		}
		return failpoint.Fail(failpoint.BeforeCommit, c.Service)
	})
	if err != nil && !errors.Is(err, errNothing) {
		return sqldb.Classify(err)
	}
	if err == nil {
		failpoint.Hit(failpoint.AfterCommit, c.Service)
	}
	b.committed(members)
	return nil
}

// decide runs the members until each has succeeded or failed. One that asks for rows that were not
// read yet is run again from its beginning when they have been, together with all that others have
// asked for; those behind it that touch the same rows wait for it. So members see each other's
// writes, in order, and rows are read by sets.
func (b *batch) decide(members []*member) error {
	for len(members) > 0 {
		var later []*member
		for _, m := range members {
			b.run(m)
			switch u := m.unit; {
			case u.later:
				m.err, m.panicked = nil, nil // whatever it made of errLater
				u.holdUp()
				later = append(later, m)
			case m.err != nil || m.panicked != nil:
				if m.inbox() {
					b.undone = append(b.undone, m)
				}
			default:
				b.take(u)
				b.done = append(b.done, m)
			}
		}
		if _, err := b.gather(); err != nil {
			return err
		}
		members = later
	}
	return nil
}

// run runs one member on a unit of its own. Its panic is its own too.
func (b *batch) run(m *member) {
	u := b.unitOf(m)
	m.err, m.panicked = nil, nil
	defer func() {
		if p := recover(); p != nil && !u.later {
			m.panicked = p
		}
	}()
	failpoint.HitIf(m.inbox(), failpoint.AfterInbox, b.core.Service)
	err := m.work(u)
	if err == nil && !u.later {
		err = u.conclude()
	}
	m.err = sqldb.Classify(err)
}

func (b *batch) unitOf(m *member) *unit {
	m.unit = &unit{core: b.core, ctx: m.ctx, batch: b, tx: b.tx, cause: m.cause, now: b.now, ruled: m.ruled}
	return m.unit
}

// take makes what a unit has staged part of the batch, and visible to the members behind it.
func (b *batch) take(u *unit) {
	for _, s := range u.staged {
		all := b.index[s.table]
		if all == nil {
			all = &staged{table: s.table}
			b.index[s.table] = all
			b.staged = append(b.staged, all)
		}
		all.rows = append(all.rows, s.rows...)
	}
	for _, learn := range u.learned {
		learn()
	}
	b.out = append(b.out, u.out...)
}

// flush writes every staged row, one statement a table, and the outbox, all of them at once. What is new
// comes before what changes it, and that before what goes.
func (b *batch) flush() error {
	failpoint.Hit(failpoint.MidFlush, b.core.Service)
	if err := b.unclaim(); err != nil {
		return err
	}
	slices.SortStableFunc(b.staged, func(x, y *staged) int { return cmp.Compare(x.table.verb, y.table.verb) })
	var statements []sqldb.Statement
	var of []*staged // whose a statement is
	for _, s := range b.staged {
		s.rows = s.table.newest(s.rows)
		for _, statement := range s.table.statements(b.core.DB.Dialect, s.rows) {
			statements = append(statements, statement)
			of = append(of, s)
		}
	}
	var queue sqldb.Queue
	if len(b.out) > 0 {
		if err := b.core.Outbox.Append(b.ctx, &queue, b.out); err != nil {
			return err
		}
	}
	statements = append(statements, queue.Statements...)
	if len(statements) == 0 {
		return nil
	}
	results, err := b.tx.Batch(b.ctx, statements)
	if err != nil {
		return fmt.Errorf("write what was staged: %w", err)
	}
	for n, s := range of {
		s.take(results[n])
	}
	for _, s := range b.staged {
		if s.table.every && s.took != int64(len(s.rows)) {
			return fmt.Errorf("write %s: %w", s.table.name, ErrStale)
		}
	}
	return nil
}

func (s *staged) take(r sqldb.Result) {
	s.took += r.Changed
	for _, row := range r.Returned {
		if s.told == nil {
			s.told = map[string]bool{}
		}
		s.told[row[0]] = true
	}
}

// unclaim takes back the inbox rows of members that failed: their messages come again.
func (b *batch) unclaim() error {
	if len(b.undone) == 0 {
		return nil
	}
	rows := make([][]any, len(b.undone))
	for i, m := range b.undone {
		rows[i] = []any{m.cause.Consumer, m.cause.MessageID}
	}
	if _, err := b.tx.Batch(b.ctx, inboxGone.statements(b.core.DB.Dialect, rows)); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}

// committed does what waits for the commit.
func (b *batch) committed(members []*member) {
	var marks []messages.Cause
	for _, m := range members {
		if m.duplicate {
			b.core.Observer.Duplicate(m.cause.Handler)
		}
		if m.parked {
			b.core.Observer.Parked(m.cause.Handler)
			m.cause.Delivery.Parked()
		}
		if m.inbox() && m.err == nil && m.panicked == nil && !m.left && !m.parked {
			marks = append(marks, m.cause)
		}
	}
	if b.core.Marks != nil && len(marks) > 0 {
		b.core.Marks.Mark(marks)
	}
	if len(b.done) == 0 {
		return
	}
	b.core.Observer.CommitBatch(len(b.done))
	b.link()
	b.handOver()
	for _, m := range b.done {
		for _, f := range m.unit.after {
			f()
		}
	}
	if len(b.out) > 0 {
		b.core.Wake()
	}
}

// handOver gives the worker the intents that are new.
func (b *batch) handOver() {
	s := b.index[intentRow]
	if s == nil {
		return
	}
	to := map[*Intents][]intent.Intent{}
	for _, m := range b.done {
		for _, in := range m.unit.intents {
			if s.told[in.intent.ID] {
				delete(s.told, in.intent.ID) // once, though two members may have intended it
				to[in.store] = append(to[in.store], in.intent)
			}
		}
	}
	for store, intents := range to {
		failpoint.Hit(failpoint.AfterIntent, b.core.Service)
		store.handOver(intents)
	}
}

// link lets the trace of every member but the first, under which the statements were run, lead to
// where they are.
func (b *batch) link() {
	at := trace.SpanContextFromContext(b.ctx)
	for _, m := range b.done {
		span := trace.SpanFromContext(m.ctx)
		if span.IsRecording() && span.SpanContext().TraceID() != at.TraceID() && at.IsValid() {
			span.AddLink(trace.Link{SpanContext: at})
		}
	}
}
