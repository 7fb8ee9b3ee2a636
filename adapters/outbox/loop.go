package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	memory      = 16   // windows of rows in memory at most, when most of them were refused and wait
	lateness    = 8192 // how far below the newest row one that commits late is looked for at once
	outage      = 16   // refusals in a row after which Kafka as a whole is taken to be away
	firstRetry  = 50 * time.Millisecond
	lastRetry   = 5 * time.Second
	reportEvery = 5 // polls

	// markAfter is how long a row that is in Kafka waits for others to be marked with. Nobody waits for a mark;
	// one for every message would be a commit each while little happens, as many as all handlers need.
	// After a crash what was not marked is sent again, and known to the inboxes.
	markAfter = 50 * time.Millisecond
)

// loop is the feed at work. One goroutine owns all of it; reading and marking go on beside it, one
// of each at a time, and hand it their results.
type loop struct {
	*feed
	open context.Context // ends when nothing new may be handed out
	send context.Context // what is in flight lives in it; it ends with the grace time
	out  chan<- *message.Message

	lanes    *lanes
	next     *message.Message // made of lanes.peek(), or nil
	sending  *delivery        // of next
	inFlight int
	acked    []*row // in Kafka, and not yet marked
	ripe     bool   // they have waited long enough for others
	refusals int    // since Kafka took something

	leading  bool
	epoch    int   // counts changes of leading: a read that began in an earlier one is void
	dirty    bool  // there may be rows that were not read
	sweep    bool  // look everywhere, and not only near the newest row
	newest   int64 // the highest seq seen
	complete bool  // the last read found the end of the table
	reading  bool
	marking  bool

	settled chan *delivery
	reads   chan found
	marks   chan marked
	due     chan parking
	ripen   *time.Timer   // since the first of acked
	counts  chan struct{} // holds one token: one count at a time
}

func newLoop(open context.Context, f *feed, out chan<- *message.Message) *loop {
	return &loop{
		feed: f, open: open, out: out, lanes: newLanes(),
		leading: f.leading, dirty: true, sweep: true,
		settled: make(chan *delivery, f.window), // so that nobody waits to report
		reads:   make(chan found, 1),
		marks:   make(chan marked, 1),
		due:     make(chan parking),
		ripen:   stopped(),
		counts:  make(chan struct{}, 1),
	}
}

func (l *loop) work() {
	var giveUp context.CancelFunc
	l.send, giveUp = context.WithCancel(context.WithoutCancel(l.open))
	defer giveUp()
	poll, report := time.NewTicker(l.poll), time.NewTicker(reportEvery*l.poll)
	defer poll.Stop()
	defer report.Stop()
	for l.open.Err() == nil {
		l.read()
		l.mark()
		out, next := l.outlet()
		select {
		case <-l.open.Done():
		case out <- next:
			l.handedOut()
		case d := <-l.settled:
			l.settle(d)
		case r := <-l.reads:
			l.accept(r)
		case m := <-l.marks:
			l.finish(m)
		case p := <-l.due:
			l.lanes.release(p)
		case <-l.ripen.C:
			l.ripe = true
		case leading := <-l.leads:
			l.change(leading)
		case <-l.wake:
			l.dirty = true
		case <-poll.C:
			l.dirty, l.sweep = true, true
		case <-report.C:
			l.report()
		}
	}
	l.drain()
}

// drain waits for what is in flight and marks what Kafka took. What is then still open is sent
// again by the next relay.
func (l *loop) drain() {
	grace := time.NewTimer(l.grace)
	defer grace.Stop()
	defer l.ripen.Stop()
	for l.inFlight > 0 || l.marking || len(l.acked) > 0 {
		l.ripe = true
		l.mark()
		select {
		case d := <-l.settled:
			l.settle(d)
		case m := <-l.marks:
			l.finish(m)
		case <-grace.C:
			l.log.Warn("the relay ended with messages in flight: they will be sent again",
				"inFlight", l.inFlight, "unmarked", len(l.lanes.held))
			return
		}
	}
}

// outlet gives the message to hand out next and where, or a channel that takes nothing.
func (l *loop) outlet() (chan<- *message.Message, *message.Message) {
	if !l.leading || l.inFlight >= l.window {
		return nil, nil
	}
	if l.next == nil {
		r := l.lanes.peek()
		if r == nil {
			return nil, nil
		}
		l.sending = &delivery{row: r, open: l.open}
		l.next = message.NewMessageWithContext(context.WithValue(l.send, deliveryKey{}, l.sending), r.id, r.envelope())
	}
	return l.out, l.next
}

func (l *loop) handedOut() {
	l.lanes.take()
	l.inFlight++
	go l.watch(l.next, l.sending)
	l.next, l.sending = nil, nil
}

const nowhere = "the stored row is not a message: it has no topic"

// watch waits for the message's fate. A message that the forwarder could not read stays so.
func (l *loop) watch(msg *message.Message, d *delivery) {
	select {
	case <-msg.Acked():
		d.acked = true
	case <-msg.Nacked():
		if !d.reached {
			_ = l.bury(l.send, d, nowhere) // when the database is away, it is tried again with the same end
		}
	}
	l.settled <- d
}

func (l *loop) settle(d *delivery) {
	l.inFlight--
	switch {
	case d.buried:
		l.lanes.done(d.row)
		l.lanes.drop(d.row.seq)
	case d.acked:
		l.lanes.done(d.row)
		l.took(d.row)
		if l.refusals >= outage { // it is back: nobody needs to wait any longer
			l.lanes.releaseAll()
		}
		l.refusals = 0
	case l.leading && l.open.Err() == nil:
		l.refusals++
		l.later(d.row)
	default:
		l.lanes.abandon(d.row)
	}
}

// later tries a row again after a while, which grows with every try.
func (l *loop) later(r *row) {
	wait := min(lastRetry, firstRetry<<min(r.attempts, 10))
	r.attempts++
	p := l.lanes.park(r)
	time.AfterFunc(wait/2+rand.N(wait/2), func() {
		select {
		case l.due <- p:
		case <-l.open.Done():
		}
	})
}

// change begins or ends handing out. What is in flight goes on: Kafka may have it already.
func (l *loop) change(leading bool) {
	if l.leading == leading {
		return
	}
	l.leading = leading
	l.epoch++
	l.next, l.sending = nil, nil
	l.lanes.forget()
	l.dirty, l.sweep = true, true
	if !leading {
		l.observer.Pending(0, 0) // whoever leads knows
	}
}
