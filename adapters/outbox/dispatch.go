package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	firstRetry   = 50 * time.Millisecond // after a refusal, then twice as long each time
	longestRetry = 5 * time.Second
	outageAfter  = 16 // refusals in a row: then Kafka as a whole is taken to be away
)

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
		l.nextDelivery = &delivery{row: r, open: l.open}
		l.next = message.NewMessageWithContext(context.WithValue(l.send, deliveryKey{}, l.nextDelivery), r.id, r.envelope())
	}
	return l.out, l.next
}

// handedOut says that somebody has taken the message of outlet.
func (l *loop) handedOut() {
	l.lanes.take()
	l.inFlight++
	go l.watch(l.next, l.nextDelivery)
	l.next, l.nextDelivery = nil, nil
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

// settle lets the next row of the aggregate go, or this one again.
func (l *loop) settle(d *delivery) {
	l.inFlight--
	switch {
	case d.buried:
		l.lanes.done(d.row)
		l.lanes.drop(d.row.seq)
	case d.acked:
		l.lanes.done(d.row)
		l.keepToMark(d.row)
		if l.refusals >= outageAfter { // it is back: nobody needs to wait any longer
			l.lanes.releaseAll()
		}
		l.refusals = 0
	case l.leading && l.open.Err() == nil:
		l.refusals++
		l.retryLater(d.row)
	default:
		l.lanes.abandon(d.row)
	}
}

// retryLater tries a row again after a while, which grows with every try.
func (l *loop) retryLater(r *row) {
	wait := min(longestRetry, firstRetry<<min(r.attempts, 10))
	r.attempts++
	p := l.lanes.park(r)
	time.AfterFunc(wait/2+rand.N(wait/2), func() {
		select {
		case l.retryDue <- p:
		case <-l.open.Done():
		}
	})
}
