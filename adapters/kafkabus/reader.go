package kafkabus

import (
	"bytes"
	"context"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/failpoint"
)

// source is what a reader tells the group about its partition.
type source struct {
	mark          func(offset int64) // everything below is done with
	pause, resume func()             // fetching
}

// reader reads one partition during one session of the group. One goroutine owns all of it; each
// message in hand has another one that waits for its fate.
//
// It takes every record from sarama at once, whether it may be handed out or not: where nobody
// reads a partition, sarama holds back the fetches of all others that it reads from the same
// broker. So the bound is kept by pausing, and what comes after that is what was fetched already.
type reader struct {
	*subscription
	source
	session context.Context // ends when the partition is no longer ours
	records <-chan *sarama.ConsumerMessage

	window  *window
	paused  bool
	halted  bool // nothing more is handed out
	next    *message.Message
	handing *delivered

	settled chan *delivered
	due     chan *held
	gone    chan struct{} // closed at the end
}

// delivered is one delivery of a record.
type delivered struct {
	held  *held
	end   context.CancelFunc // of its context
	acked bool
}

func newReader(session context.Context, s *subscription, records <-chan *sarama.ConsumerMessage, from source) *reader {
	return &reader{
		subscription: s, source: from, session: session, records: records, window: newWindow(),
		settled: make(chan *delivered, windowLimit), // so that nobody waits to report
		due:     make(chan *held),
		gone:    make(chan struct{}),
	}
}

func (r *reader) run() {
	defer close(r.gone)
	records, stopping := r.records, r.stopping
	for r.session.Err() == nil {
		out, next := r.outlet()
		select {
		case <-r.session.Done():
		case <-stopping: // acknowledgements count until the session ends
			stopping = nil
			r.halt()
		case record, more := <-records:
			if !more { // the partition has to be begun anew: by a new session
				records = nil
				r.halt()
				break
			}
			r.take(record)
		case out <- next:
			r.handedOut()
		case d := <-r.settled:
			r.settle(d)
		case h := <-r.due:
			r.window.again(h)
		}
		if records == nil && r.window.inHand == 0 {
			break
		}
	}
	r.halt()
	r.linger()
}

// take reads a record, and passes over one that nobody wants. What is kept of it is copied: a record is a
// part of all that was fetched with it, from every partition, and would keep that in memory as long as itself.
func (r *reader) take(record *sarama.ConsumerMessage) {
	if r.unwanted(record.Value) {
		r.window.pass(record.Offset)
		r.commit()
		r.throttle()
		return
	}
	h := &held{
		offset: record.Offset, draft: draftOf(record),
		place: place{record.Topic, record.Partition, record.Offset, bytes.Clone(record.Key), record.Timestamp},
	}
	h.draft.payload = bytes.Clone(record.Value)
	h.weight = len(record.Key) + len(record.Value)
	for _, header := range record.Headers {
		if header != nil {
			h.weight += len(header.Key) + len(header.Value)
		}
	}
	r.window.add(h, h.place.key)
	r.throttle()
}

// throttle pauses and resumes fetching.
func (r *reader) throttle() {
	switch {
	case !r.paused && r.window.full():
		r.paused = true
		r.pause()
	case r.paused && r.window.slack():
		r.paused = false
		r.resume()
	}
}

// outlet gives the message to hand out next and where, or a channel that takes nothing. The message counts as
// one in hand from here on: whoever receives it may be seen to have it before this goroutine goes on.
func (r *reader) outlet() (chan<- *message.Message, *message.Message) {
	if r.stopped() {
		r.halt()
	}
	if r.halted {
		return nil, nil
	}
	if r.next == nil {
		h := r.window.peek()
		if h == nil {
			return nil, nil
		}
		ctx, end := context.WithCancel(r.session)
		r.next, r.handing = h.draft.message(), &delivered{held: h, end: end}
		r.next.SetContext(withPlace(ctx, h.place))
		r.taken(1)
	}
	return r.out, r.next
}

// halt hands out nothing more, and takes back what nobody has received.
func (r *reader) halt() {
	r.halted = true
	if r.next == nil {
		return
	}
	r.handing.end()
	r.next, r.handing = nil, nil
	r.taken(-1)
}

func (r *reader) handedOut() {
	r.window.take()
	go r.watch(r.next, r.handing)
	r.next, r.handing = nil, nil
}

// watch waits for the message's fate, or for nobody to ask any more.
func (r *reader) watch(msg *message.Message, d *delivered) {
	select {
	case <-msg.Acked():
		d.acked = true
		failpoint.Hit(failpoint.BeforeAcknowledge, r.group)
	case <-msg.Nacked():
	case <-r.gone:
		return
	}
	r.settled <- d
}

// settle takes a message back. When its context had ended before it was settled, the session had
// ended before that: then whatever the receiver said is void, because it may be about a message
// that it has not even looked at.
func (r *reader) settle(d *delivered) {
	lost := r.session.Err() != nil
	d.end()
	switch {
	case lost || !d.acked:
		r.window.refuse(d.held)
		if !lost {
			r.later(d.held)
		}
	default:
		r.window.acknowledge(d.held)
		r.commit()
		r.throttle()
	}
	r.taken(-1) // last: closing may end the session when it hears of it
}

// commit tells the group how far everything is acknowledged, while the partition is ours.
func (r *reader) commit() {
	if offset, moved := r.window.committable(); moved && r.session.Err() == nil {
		r.mark(offset)
	}
}

// later delivers a refused message again, after the pause.
func (r *reader) later(h *held) {
	time.AfterFunc(nackPause, func() {
		select {
		case r.due <- h:
		case <-r.gone:
		}
	})
}

// linger waits for what is in hand when the partition was lost: with the next session the same
// messages may come to this process again, and must not meet themselves. It gives up when the group
// has given us up, or closing does not wait any longer.
func (r *reader) linger() {
	limit := time.NewTimer(rebalanceTimeout)
	defer limit.Stop()
	for r.window.inHand > 0 {
		select {
		case d := <-r.settled:
			r.settle(d)
		case <-r.live.Done():
			r.taken(-r.window.inHand)
			return
		case <-limit.C:
			r.taken(-r.window.inHand)
			return
		}
	}
}
