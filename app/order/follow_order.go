package order

import (
	"context"
	"slices"
	"sync"

	"millrace/domain/fault"
	"millrace/domain/order"
)

// ErrTooManyStreams: this process lets as many follow orders as it may. Nothing was done.
var ErrTooManyStreams = fault.New(fault.Unavailable, "too_many_streams", "as many orders are followed as this process may follow")

// Progress is what has happened to an order.
type Progress struct {
	ID      order.ID
	Status  order.Status
	Reason  string
	Entries []order.Entry // of its timeline, in their sequence
}

// Ended says that nothing more can happen to the order.
func (p Progress) Ended() bool { return p.Status.Terminal() }

// FollowOrder tells callers what happens to their orders, until they have ended. An order may be moved by another
// process, so the database is asked; but once for all of them, by Look, which is to be called all the time.
type FollowOrder struct {
	orders    Orders
	timelines Timelines
	most      int
	counted   func(n int)

	mu        sync.Mutex
	places    int                    // taken
	followers map[*follower]struct{} // of orders that have not ended
}

// follower is one caller.
type follower struct {
	id   order.ID
	seen int           // the last entry that it was told of
	news chan Progress // holds at most one: all that the caller has not taken yet
}

// NewFollowOrder makes the use case, for at most that many callers at a time. counted is told how many there are
// whenever that changes; it must not block.
func NewFollowOrder(orders Orders, timelines Timelines, most int, counted func(n int)) *FollowOrder {
	return &FollowOrder{orders: orders, timelines: timelines, most: most, counted: counted, followers: map[*follower]struct{}{}}
}

// Handle gives what has happened to an order behind an entry of its timeline, at once, and then whenever more has; an
// entry above those that there are is taken as the last. Progress that has ended is the last one. The caller calls leave
// when it wants no more, once; ctx bounds Handle alone. It fails with order.ErrNotFound, also where the order is not the
// caller's, and with ErrTooManyStreams.
func (h *FollowOrder) Handle(ctx context.Context, caller Caller, id order.ID, after int) (news <-chan Progress, leave func(), err error) {
	if !h.enter() {
		return nil, nil, ErrTooManyStreams
	}
	o, err := h.orders.Order(ctx, id)
	if err != nil {
		h.leave(nil)
		return nil, nil, err
	}
	if !caller.owns(o.User()) {
		h.leave(nil)
		return nil, nil, order.ErrNotFound
	}
	s := o.Snapshot()
	now := Progress{ID: id, Status: s.Status, Reason: s.Reason, Entries: behind(after, s.Timeline)}
	f := &follower{id: id, seen: lastOf(s.Timeline), news: make(chan Progress, 1)}
	f.news <- now
	if !now.Ended() {
		h.mu.Lock()
		h.followers[f] = struct{}{}
		h.mu.Unlock()
	}
	return f.news, func() { h.leave(f) }, nil
}

func (h *FollowOrder) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.places == h.most {
		return false
	}
	h.places++
	h.counted(h.places)
	return true
}

func (h *FollowOrder) leave(f *follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.followers, f)
	h.places--
	h.counted(h.places)
}

// Look tells all callers what has happened since the last time. While nobody waits for anything it asks nobody. It
// fails as Timelines does; then the callers wait for the next Look.
func (h *FollowOrder) Look(ctx context.Context) error {
	waiting, seen := h.waiting()
	if len(waiting) == 0 {
		return nil
	}
	moved, err := h.timelines.Since(ctx, seen)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range moved {
		for _, f := range waiting[p.ID] {
			f.tell(p)
			if p.Ended() {
				delete(h.followers, f)
			}
		}
	}
	return nil
}

// waiting gives the callers by order, and for each order the last entry that all of its callers were told of. Whoever
// comes while the database is asked waits for the next answer: this one may begin behind what it has seen.
func (h *FollowOrder) waiting() (map[order.ID][]*follower, map[order.ID]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting, seen := make(map[order.ID][]*follower, len(h.followers)), make(map[order.ID]int, len(h.followers))
	for f := range h.followers {
		if known := waiting[f.id]; len(known) == 0 || f.seen < seen[f.id] {
			seen[f.id] = f.seen
		}
		waiting[f.id] = append(waiting[f.id], f)
	}
	return waiting, seen
}

// tell puts what is new to the caller behind what it has not taken yet, and never waits for it. Nobody else tells
// meanwhile: the lock is held.
func (f *follower) tell(p Progress) {
	p.Entries = behind(f.seen, p.Entries)
	if len(p.Entries) == 0 {
		return
	}
	f.seen = lastOf(p.Entries)
	select {
	case before := <-f.news:
		p.Entries = slices.Concat(before.Entries, p.Entries)
	default:
	}
	f.news <- p
}

// behind gives the entries behind one.
func behind(seq int, entries []order.Entry) []order.Entry {
	at := slices.IndexFunc(entries, func(e order.Entry) bool { return e.Seq > seq })
	if at < 0 {
		return nil
	}
	return entries[at:]
}

func lastOf(timeline []order.Entry) int {
	if len(timeline) == 0 {
		return 0
	}
	return timeline[len(timeline)-1].Seq
}
