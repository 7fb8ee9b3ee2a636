package outbox

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// loop is the feed at work: one goroutine owns all of its state. What takes time goes on beside it, and comes back
// on a channel where the loop has to know how it ended:
//
//	dispatch.go  hands rows out, and settles what became of them
//	reading.go   reads rows, one read at a time
//	marking.go   marks those that are in Kafka, one statement at a time
//	backlog.go   tells how much waits
type loop struct {
	*feed
	open context.Context // ends when nothing new may be handed out
	send context.Context // what is in flight lives in it; it ends with the grace time
	out  chan<- *message.Message

	lanes        *lanes
	next         *message.Message // made of lanes.peek(), or nil
	nextDelivery *delivery        // of next
	inFlight     int
	refusals     int // since Kafka took something
	settled      chan *delivery
	retryDue     chan parking

	leading bool
	epoch   int // counts changes of leading: a read that began in an earlier one is void

	mayHaveMore bool  // there may be rows that were not read
	fullScan    bool  // look everywhere, and not only near the newest row
	newest      int64 // the highest seq seen
	complete    bool  // the last read found the end of the table
	reading     bool
	readDone    chan readResult

	unmarked  []*row      // in Kafka
	markDue   bool        // they have waited long enough for others
	markTimer *time.Timer // since the first of unmarked
	marking   bool
	markDone  chan markResult

	counting chan struct{} // holds one token: one count at a time
}

func newLoop(open context.Context, f *feed, out chan<- *message.Message) *loop {
	return &loop{
		feed: f, open: open, out: out, lanes: newLanes(),
		leading: f.leading, mayHaveMore: true, fullScan: true,
		settled:   make(chan *delivery, f.window), // so that nobody waits to report
		retryDue:  make(chan parking),
		readDone:  make(chan readResult, 1),
		markDone:  make(chan markResult, 1),
		markTimer: stoppedTimer(),
		counting:  make(chan struct{}, 1),
	}
}

// work carries rows until open ends, and then what is in flight.
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
		case r := <-l.readDone:
			l.acceptRead(r)
		case m := <-l.markDone:
			l.acceptMark(m)
		case p := <-l.retryDue:
			l.lanes.release(p)
		case <-l.markTimer.C:
			l.markDue = true
		case leading := <-l.leads:
			l.changeLead(leading)
		case <-l.wake:
			l.mayHaveMore = true
		case <-poll.C:
			l.mayHaveMore, l.fullScan = true, true
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
	defer l.markTimer.Stop()
	for l.inFlight > 0 || l.marking || len(l.unmarked) > 0 {
		l.markDue = true
		l.mark()
		select {
		case d := <-l.settled:
			l.settle(d)
		case m := <-l.markDone:
			l.acceptMark(m)
		case <-grace.C:
			l.log.Warn("the relay ended with messages in flight: they will be sent again",
				"inFlight", l.inFlight, "unmarked", len(l.unmarked))
			return
		}
	}
}

// changeLead begins or ends handing out. What is in flight goes on: Kafka may have it already.
func (l *loop) changeLead(leading bool) {
	if l.leading == leading {
		return
	}
	l.leading = leading
	l.epoch++
	l.next, l.nextDelivery = nil, nil
	l.lanes.forget()
	l.mayHaveMore, l.fullScan = true, true
	if !leading {
		l.observer.Pending(0, 0) // whoever leads knows
	}
}
