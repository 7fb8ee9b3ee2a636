package deadletters

import (
	"cmp"
	"context"
	"slices"

	"millrace/domain/plan"
)

// queue is the letters of one order at one consumer. They are dealt with one after the other, in their sequence:
// the next is begun when it is known what came of the one in front of it and of what was parked in between, and
// none is when one of these has failed again.
type queue struct {
	order   string // "" where the letter does not say
	items   []Item // planned ones that are not dealt with, in their sequence
	begun   bool   // the first of them is under way
	parked  []Item // those that waited behind, and whose turn has come or comes
	blocked string // why nothing behind can go on
}

func (q *queue) over() bool { return len(q.items) == 0 && len(q.parked) == 0 }

// next leaves the first item behind.
func (q *queue) next() { q.items, q.begun = q.items[1:], false }

// queuesOf sorts the items of a plan into queues.
func queuesOf(items []Item) []*queue {
	type key struct{ service, consumer, order string }
	byKey := map[key]*queue{}
	var all []*queue
	for _, item := range items {
		k := key{item.Service, item.Consumer, cmp.Or(item.OrderID, item.ID)}
		if byKey[k] == nil {
			byKey[k] = &queue{order: item.OrderID}
			all = append(all, byKey[k])
		}
		byKey[k].items = append(byKey[k].items, item)
	}
	for _, q := range all {
		slices.SortStableFunc(q.items, func(a, b Item) int { return cmp.Compare(a.Position, b.Position) })
	}
	return all
}

// advance moves a queue on as far as it goes now.
func (r *run) advance(ctx context.Context, q *queue) error {
	for len(q.items) > 0 {
		if q.begun {
			known, err := r.conclude(ctx, q)
			if err != nil || !known {
				return err
			}
			continue
		}
		if err := r.concludeParked(ctx, q); err != nil { // those that were in front of the next one
			return err
		}
		item := q.items[0]
		if !r.actedOn(item) {
			if why := cmp.Or(q.blocked, r.throttle.Stopped()); why != "" {
				if err := r.end(ctx, item, plan.Skipped, why, false); err != nil {
					return err
				}
				q.next()
				continue
			}
			if !r.throttle.May() {
				return nil
			}
		}
		waits, err := r.begin(ctx, q, item)
		if err != nil || waits {
			return err
		}
	}
	return r.concludeParked(ctx, q)
}

// conclude ends the first item, which was begun, when it is known what became of it.
func (r *run) conclude(ctx context.Context, q *queue) (known bool, err error) {
	outcome, detail := r.outcome(q.items[0])
	if outcome == "" {
		return false, nil
	}
	if err := r.end(ctx, q.items[0], outcome, detail, false); err != nil {
		return false, err
	}
	if outcome == plan.Skipped {
		r.throttle.Ended(outcome) // it was begun: its place is free
	}
	q.next()
	if outcome == plan.FailedAgain {
		q.blocked = "one in front of it failed again"
	}
	return true, nil
}

// watch notes the messages that waited behind an item, to say what becomes of them.
func (q *queue) watch(behind []Letter) {
	for _, l := range behind {
		if !slices.ContainsFunc(q.parked, func(i Item) bool { return i.ID == l.ID }) {
			q.parked = append(q.parked, itemOf(l))
		}
	}
}

// concludeParked ends the messages that waited behind, in their sequence, as far as it is known what became of them.
func (r *run) concludeParked(ctx context.Context, q *queue) error {
	for len(q.parked) > 0 {
		item := q.parked[0]
		p, known := r.progress[item.ID]
		outcome, detail := r.outcome(item)
		switch {
		case q.blocked != "" && (!known || p.State == Parked):
			outcome, detail = plan.Skipped, "parked still: "+q.blocked
		case !known || outcome == "":
			if !q.stuck(p) {
				return nil
			}
			outcome, detail = plan.Skipped, "parked still: another dead letter of its order is in front of it"
		case outcome == plan.FailedAgain:
			q.blocked = "one in front of it failed again"
		}
		if err := r.end(ctx, item, outcome, detail, true); err != nil {
			return err
		}
		q.parked = q.parked[1:]
	}
	return nil
}

// stuck says whether nothing of the plan is left that would bring a parked message's turn, while another letter
// stands in front of it.
func (q *queue) stuck(p Progress) bool {
	return len(q.items) == 0 && p.State == Parked && p.Blocked
}

// moving says whether something of the queue is on its way, and may clear the front.
func (r *run) moving(q *queue) bool {
	return q.blocked == "" && slices.ContainsFunc(q.parked, func(i Item) bool {
		p := r.progress[i.ID]
		return p.State == "" || p.State == Redriving || p.State == Parked && !p.Blocked
	})
}

// abandon says of everything in a queue where it is, because the time is up.
func (r *run) abandon(ctx context.Context, q *queue) error {
	for ; len(q.items) > 0; q.next() {
		outcome, why := plan.Skipped, "not begun in time"
		if q.begun {
			outcome, why = plan.TimedOut, "sent, and not handled yet"
		}
		if err := r.end(ctx, q.items[0], outcome, why, false); err != nil {
			return err
		}
	}
	for ; len(q.parked) > 0; q.parked = q.parked[1:] {
		if err := r.end(ctx, q.parked[0], plan.TimedOut, "its turn comes when what is in front of it has been handled", true); err != nil {
			return err
		}
	}
	return nil
}
