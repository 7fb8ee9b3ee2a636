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

// batch is one transaction with the members that it commits. It goes through these steps, of which claim, flush
// and commit are a round trip each:
//
//	claim        ask the inbox which members are to be run, and read what they are likely to need (inbox.go)
//	decide       run them, and read what they ask for beyond that, one round trip for all (loader.go)
//	flush        write what all of them have staged, and their messages to the outbox (table.go)
//	commit
//	afterCommit  hand over intents, wake the relay, tell observers
//
// Nothing is written between claim and flush, but by a unit that has the transaction to itself.
type batch struct {
	core *Core
	ctx  context.Context // of the transaction; a member's own may end before
	tx   *sqldb.Tx
	now  time.Time

	caches []cache // what was read, a loader each, in the order in which they were first asked

	staged  []*staged // in the order in which tables are first touched
	byTable map[*table]*staged
	out     []outbox.Record

	succeeded []*member // parked ones among them, in the order of their running
	unclaim   []*member // failed: their inbox rows were written for nothing
}

// staged is the rows of one table, which are written together, and what came of it.
type staged struct {
	table    *table
	rows     [][]any
	changed  int64           // how many of them took effect
	returned map[string]bool // first column of those that did, where the table returns it
}

// errNothing ends a transaction that has nothing to commit.
var errNothing = errors.New("nothing to commit")

func (c *Core) newBatch(ctx context.Context) *batch {
	return &batch{
		core: c, ctx: ctx, now: c.Now().UTC().Truncate(time.Microsecond),
		byTable: map[*table]*staged{},
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
		if len(b.succeeded) == 0 {
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
	b.afterCommit(members)
	return nil
}

// decide runs the members, in their order, until each has succeeded or failed. Those that were stopped for rows
// that are not read yet are run again when they have been. So members see each other's writes, and rows are read
// by sets: see loader.
func (b *batch) decide(members []*member) error {
	for len(members) > 0 {
		var stopped []*member
		for _, m := range members {
			b.run(m)
			switch u := m.unit; {
			case u.mustRerun:
				m.err, m.panicked = nil, nil // whatever it made of errRerun
				u.blockRows()
				stopped = append(stopped, m)
			case m.err != nil || m.panicked != nil:
				if m.inbox() {
					b.unclaim = append(b.unclaim, m)
				}
			default:
				b.merge(u)
				b.succeeded = append(b.succeeded, m)
			}
		}
		if _, err := b.load(); err != nil {
			return err
		}
		members = stopped
	}
	return nil
}

// run runs one member on a unit of its own. Its panic is its own too.
func (b *batch) run(m *member) {
	u := b.unitOf(m)
	m.err, m.panicked = nil, nil
	defer func() {
		if p := recover(); p != nil && !u.mustRerun {
			m.panicked = p
		}
	}()
	failpoint.HitIf(m.inbox(), failpoint.AfterInbox, b.core.Service)
	err := m.work(u)
	if err == nil && !u.mustRerun {
		err = u.conclude()
	}
	m.err = sqldb.Classify(err)
}

func (b *batch) unitOf(m *member) *unit {
	m.unit = &unit{core: b.core, ctx: m.ctx, batch: b, tx: b.tx, cause: m.cause, now: b.now, ruled: m.ruled}
	return m.unit
}

// merge makes what a unit has staged part of the batch, and visible to the members behind it.
func (b *batch) merge(u *unit) {
	for _, s := range u.staged {
		all := b.byTable[s.table]
		if all == nil {
			all = &staged{table: s.table}
			b.byTable[s.table] = all
			b.staged = append(b.staged, all)
		}
		all.rows = append(all.rows, s.rows...)
	}
	for _, put := range u.puts {
		put()
	}
	b.out = append(b.out, u.out...)
}

// flush writes every staged row, one statement a table, and the outbox, all of them at once. What is new
// comes before what changes it, and that before what goes.
func (b *batch) flush() error {
	failpoint.Hit(failpoint.MidFlush, b.core.Service)
	if err := b.takeBackClaims(); err != nil {
		return err
	}
	slices.SortStableFunc(b.staged, func(x, y *staged) int { return cmp.Compare(x.table.phase, y.table.phase) })
	var statements []sqldb.Statement
	var of []*staged // whose a statement is
	for _, s := range b.staged {
		s.rows = s.table.toWrite(s.rows)
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
		s.add(results[n])
	}
	return b.checkEffects()
}

// checkEffects fails with ErrStale when a row that must take effect did not.
func (b *batch) checkEffects() error {
	for _, s := range b.staged {
		if s.table.strict && s.changed != int64(len(s.rows)) {
			return fmt.Errorf("write %s: %w", s.table.name, ErrStale)
		}
	}
	return nil
}

func (s *staged) add(r sqldb.Result) {
	s.changed += r.Changed
	for _, row := range r.Returned {
		if s.returned == nil {
			s.returned = map[string]bool{}
		}
		s.returned[row[0]] = true
	}
}

// takeBackClaims deletes the inbox rows of members that failed: their messages come again.
func (b *batch) takeBackClaims() error {
	if len(b.unclaim) == 0 {
		return nil
	}
	rows := make([][]any, len(b.unclaim))
	for i, m := range b.unclaim {
		rows[i] = []any{m.cause.Consumer, m.cause.MessageID}
	}
	if _, err := b.tx.Batch(b.ctx, inboxGone.statements(b.core.DB.Dialect, rows)); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}

// afterCommit does what waits for the commit.
func (b *batch) afterCommit(members []*member) {
	b.tell(members)
	if len(b.succeeded) == 0 {
		return
	}
	b.core.Observer.CommitBatch(len(b.succeeded))
	b.link()
	b.handOver()
	for _, m := range b.succeeded {
		for _, f := range m.unit.after {
			f()
		}
	}
	if len(b.out) > 0 {
		b.core.Wake()
	}
}

// tell lets observers and the cache of handled messages know what became of each member.
func (b *batch) tell(members []*member) {
	var handled []messages.Cause
	for _, m := range members {
		if m.duplicate {
			b.core.Observer.Duplicate(m.cause.Handler)
		}
		if m.parked {
			b.core.Observer.Parked(m.cause.Handler)
			m.cause.Delivery.Parked()
		}
		if m.inbox() && m.err == nil && m.panicked == nil && !m.left && !m.parked {
			handled = append(handled, m.cause)
		}
	}
	if b.core.Marks != nil && len(handled) > 0 {
		b.core.Marks.Mark(handled)
	}
}

// handOver gives the worker the intents that are new.
func (b *batch) handOver() {
	s := b.byTable[intentRow]
	if s == nil {
		return
	}
	to := map[*Intents][]intent.Intent{}
	for _, m := range b.succeeded {
		for _, in := range m.unit.intents {
			if s.returned[in.intent.ID] {
				delete(s.returned, in.intent.ID) // once, though two members may have intended it
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
	for _, m := range b.succeeded {
		span := trace.SpanFromContext(m.ctx)
		if span.IsRecording() && span.SpanContext().TraceID() != at.TraceID() && at.IsValid() {
			span.AddLink(trace.Link{SpanContext: at})
		}
	}
}
