package sqlstore

import (
	"context"
	"errors"
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

	// crowd is how many units of one transaction show that the service is busy. The next one is begun later
	// then, by a breath for each of them, as long as others come: where processor time is what is short,
	// fewer and larger transactions bring everybody's turn sooner. Fewer units than that wait for nobody.
	crowd         = 4
	breathOfOne   = 2 * time.Millisecond
	longestBreath = 30 * time.Millisecond
	// silence is how long nobody has come when nobody is waited for any longer. In the longest breath it is
	// longSilence, until as many have come as the last time: messages come in batches, since they are fetched so.
	silence     = 5 * time.Millisecond
	longSilence = 3 * silence
)

// group gathers the units of one service that are asked for at the same time. There is one
// transaction under way at a time, and the next takes whatever has come meanwhile: in a service that
// is not busy nobody waits for company, unless the core is told to gather. The busier it is, the fewer
// commits an order costs.
type group struct {
	mu      sync.Mutex
	waiting []*member
	running bool // somebody is taking members
}

// member is one unit of work among those of a group.
type member struct {
	ctx   context.Context
	cause messages.Cause
	work  func(*unit) error
	// expects are the loaders whose rows of the message's order it is going to ask for.
	expects []expected

	taken atomic.Bool // by a transaction, or by its caller's leaving
	done  chan struct{}

	// Written before done is closed.
	unit      *unit // of its last run
	duplicate bool  // there is nothing to do: its message was handled before, or is a dead letter or parked already
	left      bool  // a dead letter or parked already: it is not to be marked as handled
	parked    bool  // just now: it waits behind a dead letter, and was not handled
	ruled     bool  // a person says what became of an act
	err       error // its own failure, or that of the transaction
	panicked  any   // what its work panicked with
	apart     bool  // the shared transaction failed: it is to be run by itself
}

func newMember(ctx context.Context, work func(*unit) error, expects ...expected) *member {
	return &member{ctx: ctx, cause: messages.CauseOf(ctx), work: work, expects: expects, done: make(chan struct{})}
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

// join hands a member over. Where nobody takes members, a new goroutine does, for as long as there
// are any.
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

func (g *group) run(c *Core) {
	last := 0 // members of the last transaction
	for {
		if c.Gather > 0 && g.size() < largestGroup {
			time.Sleep(c.Gather)
		} else {
			g.breathe(last)
		}
		members := g.take()
		last = len(members)
		if len(members) == 0 {
			return
		}
		c.together(members)
		for _, m := range members {
			close(m.done)
		}
	}
}

// breath is how long to wait after a transaction of n units.
func breath(n int) time.Duration {
	if n < crowd {
		return 0
	}
	return min(longestBreath, time.Duration(n)*breathOfOne)
}

// breathe takes the breath after a transaction of so many units, or a part of it when no more come.
func (g *group) breathe(last int) {
	limit, patience := breath(last), silence
	if limit == longestBreath {
		patience = longSilence
	}
	seen, quiet := g.size(), time.Duration(0)
	for ; limit > 0 && seen < largestGroup; limit -= silence {
		time.Sleep(min(silence, limit))
		quiet += silence
		switch now := g.size(); {
		case now > seen:
			seen, quiet = now, 0
		case quiet >= patience, seen >= last:
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

// take gives the members that have gathered, in the order in which they came: of several with one
// message the first only, since the others are its duplicates when it succeeds. Nobody to take ends
// the running.
func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	var members, later []*member
	messages := map[[2]string]bool{}
	for _, m := range g.waiting {
		key := [2]string{m.cause.Consumer, m.cause.MessageID}
		if len(members) == largestGroup || m.inbox() && messages[key] {
			later = append(later, m)
			continue
		}
		if m.taken.CompareAndSwap(false, true) {
			messages[key] = true
			members = append(members, m)
		}
	}
	g.waiting = later
	g.running = len(members) > 0
	return members
}

// together commits members in one transaction and writes down what became of each. When another
// transaction was in the way all go once more together: mostly it has ended by then. When the
// transaction fails for a reason that may lie in one of the members, each is run by itself, so that
// it never fails its neighbours.
func (c *Core) together(members []*member) {
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
			m.apart = meetsAnother(m.err)
		}
		return
	}
	away := fault.KindOf(err) == fault.Unavailable && !errors.Is(err, sqldb.ErrBusy) && !errors.Is(err, sqldb.ErrSlow)
	alone := len(members) == 1
	for _, m := range c.unhandled(members) {
		switch {
		case away, alone && !meetsAnother(err):
			m.err = err
		default:
			m.apart = true
		}
	}
}

// try is commit within the time that a shared transaction may take.
func (c *Core) try(members []*member) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(members[0].ctx), groupTime)
	defer cancel()
	return c.commit(ctx, members)
}

// unhandled are those members of a transaction that failed whose messages were not handled before. Nothing is
// known of them, not even of those that failed by themselves: what they saw of their neighbours has never been.
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

// unseen leaves out the members whose messages are known to have been handled.
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
				c.Observer.Duplicate(m.cause.Handler)
				continue
			}
		}
		kept = append(kept, m)
	}
	return kept
}
