package worker

import (
	"context"

	"millrace/domain/intent"
)

// lane is the bulkhead of one kind: how many acts run, and which intents wait for a slot.
type lane struct {
	running int
	waiting []*ticket
}

// ticket is one intent that waits or runs in this process.
type ticket struct {
	in      intent.Intent
	running bool
	newer   *intent.Intent // claimed again while it ran: the running attempt can no longer settle it
}

// accept takes an intent to its lane and says whether there was room, and code, for it. An intent that is here
// already is not taken twice: one that waits gets the newer claim, without which it could not be
// settled, and one that runs is run once more with it.
func (n *Intents) accept(acts context.Context, in intent.Intent) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	lane, ok := n.lanes[in.Kind]
	if !ok || n.closed {
		return false
	}
	if t, ok := n.known[in.ID]; ok {
		switch {
		case in.Version <= t.in.Version:
		case t.running:
			t.newer = &in
		default:
			t.in = in
		}
		return true
	}
	switch {
	case lane.running < n.opts.Concurrency:
		t := &ticket{in: in, running: true}
		n.known[in.ID] = t
		lane.running++
		n.running.Go(func() { n.work(acts, lane, t) })
	case len(lane.waiting) < n.opts.Queue:
		t := &ticket{in: in}
		n.known[in.ID] = t
		lane.waiting = append(lane.waiting, t)
	default:
		return false
	}
	return true
}

// work holds one slot of a lane for as long as something waits for it.
func (n *Intents) work(acts context.Context, lane *lane, t *ticket) {
	for t != nil {
		n.attempt(acts, t.in)
		t = n.after(lane, t)
	}
}

// after ends a ticket and gives the slot its next one; nil gives the slot up.
func (n *Intents) after(lane *lane, t *ticket) *ticket {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.newer != nil && !n.closed {
		t.in, t.newer = *t.newer, nil
		return t
	}
	delete(n.known, t.in.ID)
	if len(lane.waiting) == 0 || n.closed {
		lane.running--
		return nil
	}
	next := lane.waiting[0]
	lane.waiting[0] = nil
	lane.waiting = lane.waiting[1:]
	next.running = true
	return next
}

// room is how many more intents the fullest lane can take.
func (n *Intents) room() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	least := largestClaim
	for _, lane := range n.lanes {
		least = min(least, n.opts.Concurrency-lane.running+n.opts.Queue-len(lane.waiting))
	}
	return least
}

// close stops the intake and gives what waits.
func (n *Intents) close() []intent.Intent {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	var waiting []intent.Intent
	for _, lane := range n.lanes {
		for _, t := range lane.waiting {
			waiting = append(waiting, t.in)
		}
		lane.waiting = nil
	}
	return waiting
}
