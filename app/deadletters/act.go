package deadletters

import (
	"context"
	"errors"
	"fmt"

	"millrace/domain/plan"
)

// An act on a letter: begun when its turn has come, done at most once for a plan, and skipped where it is refused.

// begin does what the plan says to the first item of a queue. It says whether the queue has to wait then: for the
// item, or for what is in front of it. What is wrong with one letter keeps no other from its act.
func (r *run) begin(ctx context.Context, q *queue, item Item) (waits bool, err error) {
	behind, err := r.desk.outcomes.Behind(ctx, item)
	if err != nil {
		return false, err
	}
	earlier, refused, err := r.actOn(ctx, item)
	switch {
	case err != nil:
		return false, err
	case refused == nil:
		q.watch(behind)
		return r.begun(ctx, q, item, earlier)
	case errors.Is(refused, ErrBehind) && r.moving(q):
		return true, nil
	case plan.BrokenOff(ctx, refused):
		return false, refused
	}
	q.next()
	return false, r.end(ctx, item, plan.Skipped, refused.Error(), false)
}

// begun counts an item that this run, or an earlier one, has acted on. What came of a redrive the next looks say;
// the other acts have taken effect when they are done.
func (r *run) begun(ctx context.Context, q *queue, item Item, earlier bool) (waits bool, err error) {
	q.begun = true
	r.throttle.Begun(earlier)
	r.deadline = r.desk.now().Add(r.request.Timeout)
	if r.plan.Action == ActRedrive {
		return true, nil
	}
	if err := r.end(ctx, item, plan.Verified, "", false); err != nil {
		return false, err
	}
	q.next()
	return len(q.items) == 0 && len(q.parked) > 0, nil
}

// actOn acquires the lease of the item's order and acts on the item, unless the plan has done so before (earlier).
// Refused is why the act is not done; err, why it is not known whether it is.
func (r *run) actOn(ctx context.Context, item Item) (earlier bool, refused, err error) {
	refused = r.acquireLease(ctx, item)
	if r.actedOn(item) {
		return true, nil, nil
	}
	if refused == nil {
		refused = r.harmless(ctx, item)
	}
	if refused != nil {
		return false, refused, nil
	}
	refused = r.act(ctx, item)
	if refused == nil || errors.Is(refused, ErrBehind) || plan.BrokenOff(ctx, refused) {
		return false, refused, nil
	}
	// It may have been done all the same: by a run of this plan beside this one, or by this one, which did not hear of it.
	if err := r.rememberService(ctx, item.Service); err != nil {
		return false, nil, err
	}
	if r.actedOn(item) {
		return true, nil, nil
	}
	return false, refused, nil
}

// act is the act itself.
func (r *run) act(ctx context.Context, item Item) error {
	switch r.plan.Action {
	case ActDiscard:
		return r.desk.acts.Discard(ctx, item, r.request.By)
	case ActSettle:
		return r.desk.acts.Settle(ctx, item, r.plan.Outcome, r.request.By)
	}
	return r.desk.acts.Redrive(ctx, item, r.request.By)
}

// harmless looks once more, before the act, where nobody has allowed new effects: what would have come to nothing
// when the plan was made may have come to something since. It fails with plan.ErrNewEffects then. What is decided
// between the look and the handler is not seen.
func (r *run) harmless(ctx context.Context, item Item) error {
	if r.request.NewEffects {
		return nil
	}
	of := []Letter{{ID: item.ID, Service: item.Service, OrderID: item.OrderID}}
	effects, err := r.desk.planning.Effects(ctx, r.plan.Action, r.plan.Outcome, of)
	if err != nil {
		return err
	}
	if now := effects[item.ID]; now.Moves() {
		return plan.ErrNewEffects.Because(fmt.Errorf("%s, since it was made: plan again", now))
	}
	return nil
}
