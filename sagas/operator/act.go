package operator

import (
	"context"
	"errors"
	"time"

	"millrace/domain/fault"
	"millrace/domain/plan"
	"millrace/sagas/engine"
)

// An act on a saga: done at most once for a plan, and skipped where it is refused.

// begin does the act on one saga. What is wrong with one saga keeps no other from its act.
func (r *run) begin(ctx context.Context, t *task) error {
	at := r.desk.now()
	refused := r.desk.acts.Operate(ctx, t.command(r.plan.Action, r.plan.Version, r.request.By))
	switch {
	case refused == nil:
		r.begun(t, at, false)
		return nil
	case plan.BrokenOff(ctx, refused):
		return refused
	}
	// It may have been done all the same: by another run of this plan, beside this one, or by this one, which did not
	// hear of it.
	earlier, err := r.desk.audit.Begun(ctx, r.plan.SHA256)
	if err != nil {
		return err
	}
	if at, ok := earlier[t.OrderID]; ok {
		r.begun(t, at, true)
		return nil
	}
	if errors.Is(refused, engine.ErrMoved) {
		return r.end(ctx, t, plan.Skipped, "it has changed since the plan was made: "+because(refused))
	}
	return r.end(ctx, t, plan.Skipped, because(refused))
}

// begun counts an item that this run, or an earlier one, has acted on.
func (r *run) begun(t *task, at time.Time, earlier bool) {
	t.begun, t.at, t.deadline = true, at, r.desk.now().Add(r.request.Timeout)
	r.throttle.Begun(earlier)
}

// remember takes over what an earlier run of the same plan has done: what has come of that is asked, and nothing is
// done again.
func (r *run) remember(ctx context.Context) error {
	earlier, err := r.desk.audit.Begun(ctx, r.plan.SHA256)
	if err != nil {
		return err
	}
	for _, t := range r.open {
		if at, ok := earlier[t.OrderID]; ok {
			r.begun(t, at, true)
		}
	}
	r.remembered = true
	return nil
}

// because is why something was refused, without the words that say of what it was an act.
func because(err error) string {
	f, ok := fault.Find(err)
	switch {
	case !ok:
		return err.Error()
	case f.Unwrap() != nil:
		return f.Unwrap().Error()
	}
	return f.Error()
}
