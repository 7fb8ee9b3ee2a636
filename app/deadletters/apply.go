package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/domain/fault"
	"millrace/domain/plan"
)

// Request is what Apply is told beside the plan.
type Request struct {
	Confirm    string        // the plan's sha256
	By         Act           // who, and why
	Force      bool          // redrive even what was sent again too often
	NewEffects bool          // the plan may charge, give money back and mail
	Timeout    time.Duration // to wait for outcomes, from the last item that was begun
	Pace       plan.Pace
}

// look is how often what is under way is looked at.
const look = 100 * time.Millisecond

// Apply does what a plan says, and waits until it is known what came of it. Letters of one order are
// dealt with one after the other, different orders side by side; an order that another apply has in hand, of
// letters or of sagas, is skipped. Each result is told as soon as it
// is known. Applying a plan again goes on where the last time ended and does nothing twice.
//
// It fails, having done nothing, with plan.ErrAltered, plan.ErrUnconfirmed, ErrNewEffects or ErrTooOften.
func (d *Desk) Apply(ctx context.Context, p Plan, r Request, tell func(plan.Result)) (plan.Sum, error) {
	if err := allowed(p, r); err != nil {
		return plan.Sum{}, err
	}
	r.By.Plan = p.SHA256
	w := &work{
		desk: d, plan: p, request: r, tell: tell, sum: plan.Sum{OK: true, Items: []plan.Result{}},
		gait: plan.NewGait(r.Pace, len(p.Items), d.now), deadline: d.now().Add(r.Timeout), held: map[string]bool{}, before: map[string]bool{},
	}
	queues := w.queues()
	for {
		err := w.turn(ctx, queues)
		late := !d.now().Before(w.deadline)
		switch {
		case err != nil && (late || fault.KindOf(err) != fault.Unavailable): // what is only busy or away may come back
			return w.sum, err
		case late:
			for _, q := range queues {
				if err := w.giveUp(ctx, q); err != nil {
					return w.sum, err
				}
			}
			if err := w.letGo(ctx, queues); err != nil {
				return w.sum, err
			}
		}
		if !slices.ContainsFunc(queues, func(q *queue) bool { return !q.over() }) {
			return w.sum, nil
		}
		if err := d.pause(ctx, look); err != nil {
			return w.sum, err
		}
	}
}

// turn looks where everything is, and moves every queue on.
func (w *work) turn(ctx context.Context, queues []*queue) error {
	if err := w.remember(ctx); err != nil {
		return err
	}
	if err := w.hold(ctx); err != nil {
		return err
	}
	if err := w.see(ctx, queues); err != nil {
		return err
	}
	for _, q := range queues {
		if err := w.step(ctx, q); err != nil {
			return err
		}
	}
	return w.letGo(ctx, queues)
}

func allowed(p Plan, r Request) error {
	sum, err := p.sum()
	switch {
	case err != nil || sum != p.SHA256:
		return plan.ErrAltered
	case r.Confirm != p.SHA256:
		return plan.ErrUnconfirmed
	case p.Totals.Moves() && !r.NewEffects:
		return ErrNewEffects.Because(errors.New(p.Totals.String()))
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
	tell    func(plan.Result)
	sum     plan.Sum
	gait    *plan.Gait
	now     map[string]Progress // by letter, at the last look
	held    map[string]bool     // orders that the plan has in hand
	before  map[string]bool     // letters that the plan has acted on
	known   bool                // what earlier runs have done

	deadline time.Time
}

// queue is the letters of one order at one consumer.
type queue struct {
	order   string // "" where the letter does not say
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
			if err := w.parkedOnes(ctx, q); err != nil { // those that were in front of the next one
				return err
			}
		}
		item := q.items[0]
		if why := cmp.Or(q.blocked, w.gait.Stopped()); why != "" && !q.begun && !w.resumed(item) {
			if err := w.end(ctx, item, plan.Skipped, why, false); err != nil {
				return err
			}
			q.items = q.items[1:]
			continue
		}
		if !q.begun {
			if !w.gait.May() && !w.resumed(item) {
				return nil
			}
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
		if err := w.end(ctx, item, outcome, detail, false); err != nil {
			return err
		}
		if outcome == plan.Skipped {
			w.gait.Ended(outcome) // it was begun: its place is free
		}
		q.items, q.begun = q.items[1:], false
		if outcome == plan.FailedAgain {
			q.blocked = "one in front of it failed again"
		}
	}
	return w.parkedOnes(ctx, q)
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
	err = w.take(ctx, item)
	earlier := w.resumed(item)
	if err == nil && !earlier {
		err = w.harmless(ctx, item)
	}
	if err == nil && !earlier {
		if err = act(ctx, item, w.request.By); err != nil && !errors.Is(err, ErrBehind) && !away(ctx, err) {
			// It may have been done all the same: by a run of this plan beside this one, or by this one, which did not hear of it.
			if unknown := w.acted(ctx, item.Service); unknown != nil {
				return false, unknown
			}
			earlier = w.resumed(item)
		}
	}
	switch {
	case err == nil, earlier:
		q.watch(behind)
		q.begun = true
		w.gait.Begun(earlier)
		w.deadline = w.desk.now().Add(w.request.Timeout)
		if w.plan.Action == ActRedrive {
			return true, nil // the next look says more
		}
		if err := w.end(ctx, item, plan.Verified, "", false); err != nil {
			return false, err
		}
		q.items, q.begun = q.items[1:], false
		return len(q.items) == 0 && len(q.parked) > 0, nil
	case errors.Is(err, ErrBehind) && w.moving(q):
		return true, nil
	case away(ctx, err):
		return false, err
	}
	q.items = q.items[1:] // what is wrong with one letter keeps no other from its act
	return false, w.end(ctx, item, plan.Skipped, err.Error(), false)
}

// away says whether an error is not about the letter: a store cannot be asked now, or the run is broken off.
func away(ctx context.Context, err error) bool {
	return fault.KindOf(err) == fault.Unavailable || ctx.Err() != nil
}

// harmless looks once more, before the act, where nobody has allowed new effects: what would have come to nothing
// when the plan was made may have come to something since. It fails with ErrNewEffects then. What is decided
// between the look and the handler is not seen.
func (w *work) harmless(ctx context.Context, item Item) error {
	if w.request.NewEffects {
		return nil
	}
	of := []Letter{{ID: item.ID, Service: item.Service, OrderID: item.OrderID}}
	stakes, err := w.desk.store.Stakes(ctx, w.plan.Action, w.plan.Outcome, of)
	if err != nil {
		return err
	}
	if now := stakes[item.ID]; now.Moves() {
		return ErrNewEffects.Because(fmt.Errorf("%s, since it was made: plan again", now))
	}
	return nil
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
		return plan.Verified, ""
	case p.State == Done:
		return plan.FailedAgain, "it is called done, and the inbox does not say so"
	case p.State == Waiting && p.Version > item.Version:
		return plan.FailedAgain, cmp.Or(p.Error, p.Reason)
	case p.State == Discarded || p.State == Settled:
		return plan.Skipped, "somebody else has " + p.State + " it"
	}
	return "", ""
}

// parkedOnes says what has become of messages that waited behind.
func (w *work) parkedOnes(ctx context.Context, q *queue) error {
	for len(q.parked) > 0 {
		item := q.parked[0]
		p, known := w.now[item.ID]
		outcome, detail := w.outcome(item)
		switch {
		case q.blocked != "" && (!known || p.State == Parked):
			outcome, detail = plan.Skipped, "parked still: "+q.blocked
		case !known || outcome == "":
			if w.stopped(q, p) {
				outcome, detail = plan.Skipped, "parked still: another dead letter of its order is in front of it"
				break
			}
			return nil
		case outcome == plan.FailedAgain:
			q.blocked = "one in front of it failed again"
		}
		if err := w.end(ctx, item, outcome, detail, true); err != nil {
			return err
		}
		q.parked = q.parked[1:]
	}
	return nil
}

// stopped: nothing of the plan is left that would bring a parked message's turn, and another letter
// stands in front of it.
func (w *work) stopped(q *queue, p Progress) bool {
	return len(q.items) == 0 && p.State == Parked && p.Blocked
}

// giveUp says of everything that has not ended where it is.
func (w *work) giveUp(ctx context.Context, q *queue) error {
	for ; len(q.items) > 0; q.items, q.begun = q.items[1:], false {
		outcome, why := plan.Skipped, "not begun in time"
		if q.begun {
			outcome, why = plan.TimedOut, "sent, and not handled yet"
		}
		if err := w.end(ctx, q.items[0], outcome, why, false); err != nil {
			return err
		}
	}
	for ; len(q.parked) > 0; q.parked = q.parked[1:] {
		if err := w.end(ctx, q.parked[0], plan.TimedOut, "its turn comes when what is in front of it has been handled", true); err != nil {
			return err
		}
	}
	return nil
}

// end tells what became of an item, and has what was done about a planned one noted.
func (w *work) end(ctx context.Context, item Item, outcome, detail string, parked bool) error {
	r := plan.Result{ID: item.ID, Outcome: outcome, Detail: detail, Service: item.Service, Handler: item.Handler, OrderID: item.OrderID, Parked: parked}
	if !parked && outcome != plan.Skipped {
		if err := w.desk.store.Note(ctx, item, w.plan.Action, w.request.By, r); err != nil {
			return err
		}
		w.gait.Ended(outcome)
	}
	w.sum.Add(r)
	w.tell(r)
	return nil
}
