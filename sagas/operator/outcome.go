package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"millrace/app/messages"
	"millrace/domain/plan"
	saga "millrace/sagas/order"
)

// What became of an act is drawn from where its saga is now, and never from its having been done.

// observe looks where everything is that was begun, and ends that of which it is known what became of it.
func (r *run) observe(ctx context.Context) error {
	var begun []*task
	for _, t := range r.open {
		if t.begun {
			begun = append(begun, t)
		}
	}
	if len(begun) == 0 {
		return nil
	}
	progress, err := r.desk.outcomes.Progress(ctx, orderIDs(begun))
	if err != nil {
		return err
	}
	for _, t := range begun {
		p, ok := progress[t.OrderID]
		if err := r.conclude(ctx, t, p, ok); err != nil {
			return err
		}
	}
	return nil
}

// orderIDs gives the orders of items.
func orderIDs(tasks []*task) []string {
	all := make([]string, len(tasks))
	for n, t := range tasks {
		all[n] = t.OrderID
	}
	slices.Sort(all)
	return all
}

// conclude ends an item that was begun when it is known what became of it, or when its time is up.
func (r *run) conclude(ctx context.Context, t *task, p Progress, found bool) error {
	outcome, detail, still := "", "", "done, and its saga is not to be found"
	switch {
	case found && p.Unreadable != "":
		still = "done, and its saga is UNREADABLE: " + p.Unreadable
	case found:
		outcome, detail = t.outcome(r.plan.Action, p)
		still = fmt.Sprintf("done, and it still is %s", p.State.Step)
	}
	if outcome == "" && !r.desk.now().Before(t.deadline) {
		outcome, detail = plan.TimedOut, still
	}
	if outcome == "" {
		return nil
	}
	return r.end(ctx, t, outcome, detail)
}

// outcome says what became of an act; "" while it is not known. An act has taken effect when the saga
// has left the step that it stood in; one that undoes an order, when the order has ended; a migration,
// when it was written; a time-out that was set anew or fired, when the step was entered anew. A saga that
// only waits once more has not left its step, and one that a time-out or a cancel has undone meanwhile got no
// answer. The time-out is a failure of what the act was to mend; the cancel took the saga away from it.
func (t *task) outcome(act saga.Act, p Progress) (outcome, detail string) {
	left := p.State.Step != t.State
	switch {
	case act == saga.ToVersion:
		left = p.Version > t.Version
	case act == saga.Compensate, t.To.Undoing() && !t.State.Undoing():
		left = p.State.Step.Terminal()
	case act == saga.Resume, act == saga.FireTimer:
		left = left || p.State.Entry != t.Entry
	case act == saga.Redrive && !t.State.Undoing() && timedOut(p.State):
		return plan.FailedAgain, fmt.Sprintf("it was undone meanwhile for %s: it is %s", p.State.Reason, p.State.Step)
	case act == saga.Redrive && t.cancelled(p.State):
		return plan.Skipped, "a cancel came first: it is " + p.State.Step.String()
	}
	if left {
		return plan.Verified, "it is " + p.State.Step.String()
	}
	for _, d := range p.Dead {
		if !d.At.Before(t.at) {
			return plan.FailedAgain, "a dead letter of " + d.Handler + ": " + cmp.Or(d.Reason, "no reason is given")
		}
	}
	return "", ""
}

// cancelled says whether the customer's cancel has ended the wait for an answer. Where the payment's came before it,
// the wait for inventory was entered in between, and the undo is one entry further.
func (t *task) cancelled(s saga.State) bool {
	if s.Reason != messages.ReasonCancelledByUser {
		return false
	}
	undo := map[saga.Step]int{saga.UndoingInventory: 1, saga.UndoingPayment: 2, saga.Cancelled: 3}[s.Step]
	return t.State == saga.AwaitingInventory || t.State == saga.AwaitingPayment && s.Entry-t.Entry <= undo
}

// timedOut says whether a saga undoes its order, or has, because nobody answered in time.
func timedOut(s saga.State) bool {
	late := s.Reason == messages.ReasonPaymentTimeout || s.Reason == messages.ReasonInventoryTimeout
	return late && (s.Step.Undoing() || s.Step == saga.Failed)
}

// end tells what became of an item, and has what was done noted.
func (r *run) end(ctx context.Context, t *task, outcome, detail string) error {
	result := plan.Result{ID: t.ActID, Outcome: outcome, Detail: detail, Service: messages.Orchestrator, Handler: r.plan.Action.String(), OrderID: t.OrderID}
	if t.begun {
		if err := r.desk.audit.Note(ctx, t.ActID, result); err != nil {
			return err
		}
		r.throttle.Ended(outcome)
	}
	r.open = slices.DeleteFunc(r.open, func(other *task) bool { return other == t })
	r.sum.Add(result)
	r.tell(result)
	return nil
}
