package sqlstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
)

const (
	// largestGroup bounds a transaction: what one failure makes others wait for, and its memory.
	largestGroup = 512
	// groupTime is how long a shared transaction may take: a connection that hangs is noticed then.
	groupTime = 10 * time.Second

	// minSiblings is how many units of one transaction show that the service is busy. Fewer delay nobody.
	minSiblings = 4
	// delayPerSibling is by how much each of them delays the next transaction, and maxCommitDelay all of them.
	delayPerSibling = 2 * time.Millisecond
	maxCommitDelay  = 30 * time.Millisecond
	// idleGap is how long nobody has to come to end a delay early. In one of maxCommitDelay it is longIdleGap until
	// as many have come as the last time: messages are fetched in batches, with pauses between them.
	idleGap     = 5 * time.Millisecond
	longIdleGap = 3 * idleGap
)

// group is the group commit of one service: units of work that are asked for at the same time share a transaction.
// One shared transaction of a Core is under way at a time. Whoever comes meanwhile waits, and the next one takes all who wait. When it
// does depends on how busy the service is, after the idea of PostgreSQL's commit_siblings and commit_delay:
//
//	transaction before it               it takes who waits
//	none                                at once: a service that is not busy never waits
//	of fewer than minSiblings units     as soon as that one has ended
//	of minSiblings units or more        commitDelay later, or when nobody has come for idleGap
//	of any size, largestGroup wait      as soon as that one has ended
//
// The delay is worth its while where processor time is what is short: fewer and larger transactions bring
// everybody's turn sooner, and an order costs fewer commits. Work that nobody waits for can have a fixed delay
// instead (Config.Linger). What a transaction does with its units is in batch.go, and how it reads in loader.go.
type group struct {
	mu      sync.Mutex
	waiting []*member
	running bool // a goroutine is in run
}

// join queues a member for the next transaction. When no goroutine takes members, a new one does, for as long
// as there are any.
func (g *group) join(m *member, c *Core) {
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	start := !g.running
	g.running = true
	g.mu.Unlock()
	if start {
		go g.run(c)
	}
}

// run commits one transaction after the other until nobody waits.
func (g *group) run(c *Core) {
	last := 0 // units of the last transaction
	for {
		if c.Linger > 0 && g.size() < largestGroup {
			time.Sleep(c.Linger)
		} else {
			g.delay(last)
		}
		members := g.take()
		last = len(members)
		if last == 0 {
			return
		}
		c.commitTogether(members)
		for _, m := range members {
			close(m.done)
		}
	}
}

// commitDelay is for how long a transaction of so many units delays the next one, at most.
func commitDelay(siblings int) time.Duration {
	if siblings < minSiblings {
		return 0
	}
	return min(maxCommitDelay, time.Duration(siblings)*delayPerSibling)
}

// delay waits for siblings after a transaction of so many units: for its commitDelay, or until nobody comes.
func (g *group) delay(last int) {
	left, patience := commitDelay(last), idleGap
	if left == maxCommitDelay {
		patience = longIdleGap
	}
	seen, idle := g.size(), time.Duration(0)
	for ; left > 0 && seen < largestGroup; left -= idleGap {
		time.Sleep(min(idleGap, left))
		idle += idleGap
		switch now := g.size(); {
		case now > seen:
			seen, idle = now, 0
		case idle >= patience, seen >= last:
			return
		}
	}
}

// size is how many wait.
func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// take closes a batch: it gives the members that wait, in the order in which they came. Of several with one
// message it takes the first only, since the others are its duplicates when it succeeds. When there is nobody
// to take, run ends.
func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	var members, rest []*member
	messages := map[[2]string]bool{}
	for _, m := range g.waiting {
		key := [2]string{m.cause.Consumer, m.cause.MessageID}
		if len(members) == largestGroup || m.inbox() && messages[key] {
			rest = append(rest, m)
			continue
		}
		if m.taken.CompareAndSwap(false, true) {
			messages[key] = true
			members = append(members, m)
		}
	}
	g.waiting = rest
	g.running = len(members) > 0
	return members
}

// commitTogether commits members in one transaction and writes down what became of each. None fails its
// neighbours:
//
//	the transaction                     each of its members
//	is committed                        has its own end; one that met another transaction is run again alone
//	meets another transaction           goes once more with all of them: mostly the other has ended by then
//	fails since the database is away    is told so
//	fails in any other way              is run again alone, since the reason may lie in one of them
//
// One that is alone in its transaction is told why it failed, and is run again only where it met another transaction.
func (c *Core) commitTogether(members []*member) {
	defer func() {
		if p := recover(); p != nil { // a mistake before, in or after the transaction, which may be committed
			for _, m := range members {
				m.panicked = p
			}
		}
	}()
	members = c.unseen(members)
	if len(members) == 0 {
		return
	}
	err := c.try(members)
	if len(members) > 1 && meetsAnother(err) {
		if members = c.unhandled(members); len(members) > 0 {
			err = c.try(members)
		}
	}
	if err == nil {
		for _, m := range members {
			m.rerunAlone = meetsAnother(m.err)
		}
		return
	}
	away := fault.KindOf(err) == fault.Unavailable && !sqldb.OutOfTime(err)
	alone := len(members) == 1
	for _, m := range c.unhandled(members) {
		switch {
		case away, alone && !meetsAnother(err):
			m.err = err
		default:
			m.rerunAlone = true
		}
	}
}

// try is commit within the time that a shared transaction may take.
func (c *Core) try(members []*member) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(members[0].ctx), groupTime)
	defer cancel()
	return c.commit(ctx, members)
}

// unhandled gives those members of a transaction that failed whose messages were not handled before. What became
// of them is forgotten, of those too that failed by themselves: what they saw of their neighbours has never been.
func (c *Core) unhandled(members []*member) []*member {
	var again []*member
	for _, m := range members {
		if m.duplicate {
			c.Observer.Duplicate(m.cause.Handler)
			continue
		}
		m.parked, m.err, m.panicked = false, nil, nil
		again = append(again, m)
	}
	return again
}

// unseen leaves out the members whose messages were handled before, as far as the cache knows.
func (c *Core) unseen(members []*member) []*member {
	if c.Marks == nil {
		return members
	}
	causes := make([]messages.Cause, 0, len(members))
	for _, m := range members {
		if m.inbox() {
			causes = append(causes, m.cause)
		}
	}
	if len(causes) == 0 {
		return members
	}
	seen := c.Marks.Seen(context.WithoutCancel(members[0].ctx), causes)
	kept := make([]*member, 0, len(members))
	n := 0
	for _, m := range members {
		if m.inbox() {
			known := seen[n]
			n++
			if known {
				m.cached = true
				c.Observer.Duplicate(m.cause.Handler)
				continue
			}
		}
		kept = append(kept, m)
	}
	return kept
}

// member is one unit of work among those of a group, and what became of it.
type member struct {
	ctx   context.Context
	cause messages.Cause
	work  func(*unit) error
	// prefetch are the loaders whose rows of the message's order it is going to ask for.
	prefetch []prefetch

	taken atomic.Bool // by a transaction, or by its caller's leaving
	done  chan struct{}

	// Written before done is closed.
	unit      *unit // of its last run
	cached    bool  // the cache knows that its message was handled: the database was not asked
	duplicate bool  // there is nothing to do: its message was handled before, or is a dead letter or parked already
	left      bool  // a dead letter or parked already: it is not to be marked as handled
	parked    bool  // just now: it waits behind a dead letter, and was not handled
	ruled     bool  // a person says what became of an act
	err       error // its own failure, or that of the transaction
	panicked  any   // what its work panicked with

	rerunAlone bool // its caller is to run it again, in a transaction of its own
}

func newMember(ctx context.Context, work func(*unit) error, prefetched ...prefetch) *member {
	return &member{ctx: ctx, cause: messages.CauseOf(ctx), work: work, prefetch: prefetched, done: make(chan struct{})}
}

// inbox says whether the unit takes effect once for a message.
func (m *member) inbox() bool { return m.cause.Consumer != "" }

// special says whether it claims more than an inbox row: a message that was sent again, or a
// person's word on an act. Those are rare, and have a transaction of their own.
func (m *member) special() bool {
	return m.cause.Redrive != nil || m.ctx.Value(rulingKey{}) != nil
}

// await waits for the end of the transaction. It gives false when the caller's context ended before
// one was begun. Once it is begun the outcome is waited for: whoever leaves would not know it.
func (m *member) await() bool {
	select {
	case <-m.done:
		return true
	case <-m.ctx.Done():
		if m.taken.CompareAndSwap(false, true) {
			return false
		}
		<-m.done
		return true
	}
}

// result gives the unit's own end to its caller, whose panic it stays.
func (m *member) result() error {
	if m.panicked != nil {
		panic(m.panicked)
	}
	return m.err
}
