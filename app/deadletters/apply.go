package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/domain/fault"
)

// What became of an item.
const (
	Verified    = "VERIFIED"     // it took effect: the inbox says so
	FailedAgain = "FAILED_AGAIN" // it is a dead letter again
	Skipped     = "SKIPPED"      // nothing was done: it has changed since the plan, or one in front of it is in the way
	UnderWay    = "UNDER_WAY"    // begun, and its outcome was not known in time; apply the plan again to hear it
)

// Result is what became of one item of a plan, or of a message that was parked behind one.
type Result struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"` // why; "" where the outcome says all
	Service string `json:"service"`
	Handler string `json:"handler"`
	OrderID string `json:"orderId"`
	Parked  bool   `json:"parked"` // it was not planned, it waited behind one that was
}

// Sum counts results by outcome.
type Sum struct {
	OK          bool     `json:"ok"` // every one is VERIFIED
	Verified    int      `json:"verified"`
	FailedAgain int      `json:"failedAgain"`
	Skipped     int      `json:"skipped"`
	UnderWay    int      `json:"underWay"`
	Items       []Result `json:"items"`
}

// Request is what Apply is told beside the plan.
type Request struct {
	Confirm string        // the plan's sha256
	By      Act           // who, and why
	Force   bool          // redrive even what was sent again too often
	Timeout time.Duration // to wait for outcomes
}

// look is how often what is under way is looked at.
const look = 100 * time.Millisecond

// Apply does what a plan says, and waits until it is known what came of it. Letters of one order are
// dealt with one after the other, different orders side by side. Each result is told as soon as it
// is known. Applying a plan again goes on where the last time ended and does nothing twice.
//
// It fails, having done nothing, with ErrAltered, ErrUnconfirmed or ErrTooOften.
func (d *Desk) Apply(ctx context.Context, p Plan, r Request, tell func(Result)) (Sum, error) {
	if err := allowed(p, r); err != nil {
		return Sum{}, err
	}
	w := &work{desk: d, plan: p, request: r, tell: tell, sum: Sum{Items: []Result{}}}
	queues := w.queues()
	deadline := d.now().Add(r.Timeout)
	for {
		err := w.turn(ctx, queues)
		late := !d.now().Before(deadline)
		switch {
		case err != nil && (late || fault.KindOf(err) != fault.Unavailable): // what is only busy or away may come back
			return w.ended(), err
		case late:
			for _, q := range queues {
				w.giveUp(q)
			}
		}
		if !slices.ContainsFunc(queues, func(q *queue) bool { return !q.over() }) {
			return w.ended(), nil
		}
		if err := d.pause(ctx, look); err != nil {
			return w.ended(), err
		}
	}
}

// turn looks where everything is, and moves every queue on.
func (w *work) turn(ctx context.Context, queues []*queue) error {
	if err := w.see(ctx, queues); err != nil {
		return err
	}
	for _, q := range queues {
		if err := w.step(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func allowed(p Plan, r Request) error {
	sum, err := p.sum()
	switch {
	case err != nil || sum != p.SHA256:
		return ErrAltered
	case r.Confirm != p.SHA256:
		return ErrUnconfirmed
	case p.Action != ActRedrive || r.Force:
		return nil
	}
	for _, item := range p.Items {
		if item.Redrives >= MostRedrives {
			return ErrTooOften.Because(fmt.Errorf("%s of %s", item.ID, item.Handler))
		}
	}
	return nil
}

// work is one run of Apply.
type work struct {
	desk    *Desk
	plan    Plan
	request Request
	tell    func(Result)
	sum     Sum
	now     map[string]Progress // by letter, at the last look
}

// queue is the letters of one order at one consumer.
type queue struct {
	items   []Item // planned ones that are not dealt with, in their sequence
	begun   bool   // the first of them is under way
	parked  []Item // those that waited behind, and whose turn has come or comes
	blocked string // why nothing behind can go on
}

func (q *queue) over() bool { return len(q.items) == 0 && len(q.parked) == 0 }

func (w *work) queues() []*queue {
	type key struct{ service, consumer, order string }
	byKey := map[key]*queue{}
	var all []*queue
	for _, item := range w.plan.Items {
		k := key{item.Service, item.Consumer, cmp.Or(item.OrderID, item.ID)}
		if byKey[k] == nil {
			byKey[k] = &queue{}
			all = append(all, byKey[k])
		}
		byKey[k].items = append(byKey[k].items, item)
	}
	for _, q := range all {
		slices.SortStableFunc(q.items, func(a, b Item) int { return cmp.Compare(a.Position, b.Position) })
	}
	return all
}

// see looks where everything is that has not ended.
func (w *work) see(ctx context.Context, queues []*queue) error {
	byService := map[string][]string{}
	for _, q := range queues {
		for _, item := range slices.Concat(q.items, q.parked) {
			byService[item.Service] = append(byService[item.Service], item.ID)
		}
	}
	w.now = map[string]Progress{}
	for service, ids := range byService {
		found, err := w.desk.store.Progress(ctx, service, ids)
		if err != nil {
			return err
		}
		for id, p := range found {
			w.now[id] = p
		}
	}
	return nil
}

// step moves a queue on as far as it goes now.
func (w *work) step(ctx context.Context, q *queue) error {
	for len(q.items) > 0 {
		if !q.begun {
			w.parkedOnes(q) // those that were in front of the next one
		}
		item := q.items[0]
		if q.blocked != "" {
			w.end(item, Skipped, q.blocked, false)
			q.items = q.items[1:]
			continue
		}
		if !q.begun {
			waits, err := w.begin(ctx, q, item)
			if err != nil || waits {
				return err
			}
			continue
		}
		outcome, detail := w.outcome(item)
		if outcome == "" {
			return nil
		}
		w.end(item, outcome, detail, false)
		q.items, q.begun = q.items[1:], false
		if outcome == FailedAgain {
			q.blocked = "one in front of it failed again"
		}
	}
	w.parkedOnes(q)
	return nil
}

// begin does what the plan says to the first item. It says whether that has to wait for those in front.
func (w *work) begin(ctx context.Context, q *queue, item Item) (waits bool, err error) {
	behind, err := w.desk.store.Behind(ctx, item)
	if err != nil {
		return false, err
	}
	act := w.desk.store.Redrive
	switch w.plan.Action {
	case ActDiscard:
		act = w.desk.store.Discard
	case ActSettle:
		act = func(ctx context.Context, item Item, by Act) error {
			return w.desk.store.Settle(ctx, item, w.plan.Outcome, by)
		}
	}
	err = act(ctx, item, w.request.By)
	switch {
	case err == nil, errors.Is(err, ErrChanged) && w.resumed(item):
		q.watch(behind)
		q.begun = true
		if w.plan.Action == ActRedrive {
			return true, nil // the next look says more
		}
		w.end(item, Verified, "", false)
		q.items, q.begun = q.items[1:], false
		return len(q.items) == 0 && len(q.parked) > 0, nil
	case errors.Is(err, ErrBehind) && w.moving(q):
		return true, nil
	case fault.KindOf(err) == fault.Conflict, fault.KindOf(err) == fault.NotFound:
		w.end(item, Skipped, err.Error(), false)
		q.items = q.items[1:]
		return false, nil
	}
	return false, err
}

// resumed says whether a letter is where this plan has brought it: the plan was applied before.
func (w *work) resumed(item Item) bool {
	p := w.now[item.ID]
	switch w.plan.Action {
	case ActDiscard:
		return p.State == Discarded && p.Version == item.Version+1
	case ActSettle:
		return p.State == Settled && p.Version == item.Version+1
	}
	return p.Redrives == item.Redrives+1 && (p.State == Redriving && p.Version == item.Version+1 || p.State == Done && p.Version == item.Version+2)
}

// watch notes the messages that waited behind an item, to say what becomes of them.
func (q *queue) watch(behind []Letter) {
	for _, l := range behind {
		if !slices.ContainsFunc(q.parked, func(i Item) bool { return i.ID == l.ID }) {
			q.parked = append(q.parked, itemOf(l))
		}
	}
}

// moving says whether something of the queue is on its way, and may clear the front.
func (w *work) moving(q *queue) bool {
	return q.blocked == "" && slices.ContainsFunc(q.parked, func(i Item) bool {
		p := w.now[i.ID]
		return p.State == "" || p.State == Redriving || p.State == Parked && !p.Blocked
	})
}

// outcome says what became of an item that was begun; "" while it is not known.
func (w *work) outcome(item Item) (outcome, detail string) {
	switch p := w.now[item.ID]; {
	case p.State == Done && p.Handled:
		return Verified, ""
	case p.State == Done:
		return FailedAgain, "it is called done, and the inbox does not say so"
	case p.State == Waiting && p.Version > item.Version:
		return FailedAgain, cmp.Or(p.Error, p.Reason)
	case p.State == Discarded || p.State == Settled:
		return Skipped, "somebody else has " + p.State + " it"
	}
	return "", ""
}

// parkedOnes says what has become of messages that waited behind.
func (w *work) parkedOnes(q *queue) {
	for len(q.parked) > 0 {
		item := q.parked[0]
		p, known := w.now[item.ID]
		outcome, detail := w.outcome(item)
		switch {
		case q.blocked != "" && (!known || p.State == Parked):
			outcome, detail = Skipped, "parked still: "+q.blocked
		case !known || outcome == "":
			if w.stopped(q, p) {
				outcome, detail = Skipped, "parked still: another dead letter of its order is in front of it"
				break
			}
			return
		case outcome == FailedAgain:
			q.blocked = "one in front of it failed again"
		}
		w.end(item, outcome, detail, true)
		q.parked = q.parked[1:]
	}
}

// stopped: nothing of the plan is left that would bring a parked message's turn, and another letter
// stands in front of it.
func (w *work) stopped(q *queue, p Progress) bool {
	return len(q.items) == 0 && p.State == Parked && p.Blocked
}

// giveUp says of everything that has not ended where it is.
func (w *work) giveUp(q *queue) {
	for n, item := range q.items {
		if n == 0 && q.begun {
			w.end(item, UnderWay, "sent, and not handled yet", false)
			continue
		}
		w.end(item, Skipped, "not begun in time: one in front of it is under way", false)
	}
	for _, item := range q.parked {
		w.end(item, UnderWay, "its turn comes when what is in front of it has been handled", true)
	}
	q.items, q.parked = nil, nil
}

func (w *work) end(item Item, outcome, detail string, parked bool) {
	r := Result{ID: item.ID, Outcome: outcome, Detail: detail, Service: item.Service, Handler: item.Handler, OrderID: item.OrderID, Parked: parked}
	switch outcome {
	case Verified:
		w.sum.Verified++
	case FailedAgain:
		w.sum.FailedAgain++
	case Skipped:
		w.sum.Skipped++
	case UnderWay:
		w.sum.UnderWay++
	}
	w.sum.Items = append(w.sum.Items, r)
	w.tell(r)
}

func (w *work) ended() Sum {
	w.sum.OK = w.sum.Verified == len(w.sum.Items)
	return w.sum
}
