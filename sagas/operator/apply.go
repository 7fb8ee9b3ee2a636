package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// Request is what Apply is told beside the plan.
type Request struct {
	Confirm    string        // the plan's sha256
	By         plan.Act      // who, and why
	NewEffects bool          // the plan may do what its repetition would do again
	Timeout    time.Duration // to wait for an outcome, from when its act was done
	Pace       plan.Pace
}

const (
	look  = 250 * time.Millisecond // between two looks at what is under way
	batch = 50                     // acts between two looks
)

// Apply does what a plan says, an act a transaction, and waits until it is known what came of each. Each
// result is told as soon as it is known. Applying a plan again, after a crash too, goes on where the last
// time ended: what was done is in the audit and is not done again.
//
// It fails, having done nothing, with plan.ErrAltered, plan.ErrUnconfirmed or ErrNewEffects.
func (d *Desk) Apply(ctx context.Context, p Plan, r Request, tell func(plan.Result)) (plan.Sum, error) {
	if err := allowed(p, r); err != nil {
		return plan.Sum{}, err
	}
	r.By.Plan = p.SHA256
	a := &application{
		desk: d, plan: p, request: r, tell: tell, sum: plan.Sum{OK: true, Items: []plan.Result{}},
		gait: plan.NewGait(r.Pace, len(p.Items), d.now), heard: d.now(),
	}
	for _, item := range p.Items {
		a.left = append(a.left, &doing{Item: item})
	}
	for {
		err := a.turn(ctx)
		switch {
		case err != nil && (fault.KindOf(err) != fault.Unavailable || d.now().Sub(a.heard) >= r.Timeout): // what is only busy or away may come back
			return a.partial(), err
		case len(a.left) == 0:
			return a.sum, nil
		}
		if err := d.pause(ctx, look); err != nil {
			return a.partial(), err
		}
	}
}

func allowed(p Plan, r Request) error {
	sum, err := p.sum()
	switch {
	case err != nil || sum != p.SHA256:
		return plan.ErrAltered
	case r.Confirm != p.SHA256:
		return plan.ErrUnconfirmed
	case p.NewEffects() && !r.NewEffects:
		return ErrNewEffects.Because(fmt.Errorf("%d messages with new ids, %d mails, %s to be charged, %s to be given back",
			p.Totals.New, p.Totals.Mails, money(p.Totals.Captures), money(p.Totals.Money)))
	}
	return nil
}

func money(by map[string]int64) string {
	var sums []string
	for _, currency := range slices.Sorted(maps.Keys(by)) {
		sums = append(sums, fmt.Sprintf("%d %s", by[currency], currency))
	}
	return cmp.Or(strings.Join(sums, " and "), "nothing")
}

// application is one run of Apply.
type application struct {
	desk    *Desk
	plan    Plan
	request Request
	tell    func(plan.Result)
	sum     plan.Sum
	gait    *plan.Gait
	left    []*doing  // items that have not ended
	known   bool      // what earlier runs have done
	heard   time.Time // when the stores last answered
}

// partial is the sum of a run that was broken off.
func (a *application) partial() plan.Sum {
	a.sum.OK = false
	return a.sum
}

// doing is an item on its way.
type doing struct {
	Item

	begun    bool
	at       time.Time // when its act was done
	deadline time.Time
}

// turn looks what has become of what was begun, and begins what may be.
func (a *application) turn(ctx context.Context) error {
	if !a.known {
		if err := a.remember(ctx); err != nil {
			return err
		}
	}
	if err := a.desk.store.Hold(ctx, a.plan.SHA256); err != nil {
		return err
	}
	if err := a.see(ctx); err != nil {
		return err
	}
	done := 0
	for _, i := range slices.Clone(a.left) {
		if i.begun {
			continue
		}
		if why := a.gait.Stopped(); why != "" {
			if err := a.end(ctx, i, plan.Skipped, why); err != nil {
				return err
			}
			continue
		}
		if done == batch || !a.gait.May() {
			continue
		}
		if err := a.begin(ctx, i); err != nil {
			return err
		}
		done++
	}
	a.heard = a.desk.now()
	return nil
}

// remember takes over what an earlier run of the same plan has done.
func (a *application) remember(ctx context.Context) error {
	before, err := a.desk.store.Begun(ctx, a.plan.SHA256)
	if err != nil {
		return err
	}
	for _, i := range a.left {
		if at, ok := before[i.OrderID]; ok {
			a.took(i, at, true)
		}
	}
	a.known = true
	return nil
}

func (a *application) took(i *doing, at time.Time, earlier bool) {
	i.begun, i.at, i.deadline = true, at, a.desk.now().Add(a.request.Timeout)
	a.gait.Begun(earlier)
}

// begin does the act on one saga.
func (a *application) begin(ctx context.Context, i *doing) error {
	at := a.desk.now()
	err := a.desk.acts.Operate(ctx, i.order(a.plan.Action, a.plan.Version, a.request.By))
	switch {
	case err == nil:
		a.took(i, at, false)
		return nil
	case fault.KindOf(err) == fault.Unavailable, errors.Is(err, context.Canceled), ctx.Err() != nil:
		return err
	}
	// What is wrong with one saga keeps no other from its act. It may have been done all the same: by another
	// run of this plan, beside this one, or by this one, which did not hear of it.
	before, unknown := a.desk.store.Begun(ctx, a.plan.SHA256)
	if unknown != nil {
		return unknown
	}
	if at, ok := before[i.OrderID]; ok {
		a.took(i, at, true)
		return nil
	}
	if errors.Is(err, engine.ErrMoved) {
		return a.end(ctx, i, plan.Skipped, "it has changed since the plan was made: "+because(err))
	}
	return a.end(ctx, i, plan.Skipped, because(err))
}

// see looks where everything is that was begun.
func (a *application) see(ctx context.Context) error {
	var begun []*doing
	for _, i := range a.left {
		if i.begun {
			begun = append(begun, i)
		}
	}
	if len(begun) == 0 {
		return nil
	}
	now, err := a.desk.store.Progress(ctx, ids(begun))
	if err != nil {
		return err
	}
	for _, i := range begun {
		outcome, detail, still := "", "", "done, and its saga is not to be found"
		if p, ok := now[i.OrderID]; ok && p.Unreadable != "" {
			still = "done, and its saga is UNREADABLE: " + p.Unreadable
		} else if ok {
			outcome, detail = i.outcome(a.plan.Action, p)
			still = fmt.Sprintf("done, and it still is %s", p.State.Step)
		}
		if outcome == "" && !a.desk.now().Before(i.deadline) {
			outcome, detail = plan.TimedOut, still
		}
		if outcome == "" {
			continue
		}
		if err := a.end(ctx, i, outcome, detail); err != nil {
			return err
		}
	}
	return nil
}

// outcome says what became of an act; "" while it is not known. An act has taken effect when the saga
// has left the step that it stood in; one that undoes an order, when the order has ended; a migration,
// when it was written; a time-out that was set anew or fired, when the step was entered anew. A saga that
// only waits once more has not left its step, and one that a time-out or a cancel has undone meanwhile got no
// answer. The time-out is a failure of what the act was to mend; the cancel took the saga away from it.
func (i *doing) outcome(act saga.Act, p Progress) (outcome, detail string) {
	left := p.State.Step != i.State
	switch {
	case act == saga.ToVersion:
		left = p.Version > i.Version
	case act == saga.Compensate, i.To.Undoing() && !i.State.Undoing():
		left = p.State.Step.Terminal()
	case act == saga.Resume, act == saga.FireTimer:
		left = left || p.State.Entry != i.Entry
	case act == saga.Redrive && !i.State.Undoing() && timedOut(p.State):
		return plan.FailedAgain, fmt.Sprintf("it was undone meanwhile for %s: it is %s", p.State.Reason, p.State.Step)
	case act == saga.Redrive && i.cancelled(p.State):
		return plan.Skipped, "a cancel came first: it is " + p.State.Step.String()
	}
	if left {
		return plan.Verified, "it is " + p.State.Step.String()
	}
	for _, d := range p.Dead {
		if !d.At.Before(i.at) {
			return plan.FailedAgain, "a dead letter of " + d.Handler + ": " + cmp.Or(d.Reason, "no reason is given")
		}
	}
	return "", ""
}

// cancelled says whether the customer's cancel has ended the wait for an answer. Where the payment's came before it,
// the wait for inventory was entered in between, and the undo is one entry further.
func (i *doing) cancelled(s saga.State) bool {
	if s.Reason != messages.ReasonCancelledByUser {
		return false
	}
	undo := map[saga.Step]int{saga.UndoingInventory: 1, saga.UndoingPayment: 2, saga.Cancelled: 3}[s.Step]
	return i.State == saga.AwaitingInventory || i.State == saga.AwaitingPayment && s.Entry-i.Entry <= undo
}

// timedOut says whether a saga undoes its order, or has, because nobody answered in time.
func timedOut(s saga.State) bool {
	late := s.Reason == messages.ReasonPaymentTimeout || s.Reason == messages.ReasonInventoryTimeout
	return late && (s.Step.Undoing() || s.Step == saga.Failed)
}

// end tells what became of an item, and has what was done noted.
func (a *application) end(ctx context.Context, i *doing, outcome, detail string) error {
	r := plan.Result{ID: i.ActID, Outcome: outcome, Detail: detail, Service: messages.Orchestrator, Handler: a.plan.Action.String(), OrderID: i.OrderID}
	if i.begun {
		if err := a.desk.store.Note(ctx, i.ActID, r); err != nil {
			return err
		}
		a.gait.Ended(outcome)
	}
	a.left = slices.DeleteFunc(a.left, func(other *doing) bool { return other == i })
	a.sum.Add(r)
	a.tell(r)
	return nil
}
