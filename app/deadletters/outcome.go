package deadletters

import (
	"cmp"
	"context"
	"slices"

	"millrace/domain/plan"
)

// What became of a letter that was sent again is drawn from where it is now, and never from its having been sent.

// observe looks where everything is that has not ended.
func (r *run) observe(ctx context.Context) error {
	byService := map[string][]string{}
	for _, q := range r.queues {
		for _, item := range slices.Concat(q.items, q.parked) {
			byService[item.Service] = append(byService[item.Service], item.ID)
		}
	}
	r.progress = map[string]Progress{}
	for service, ids := range byService {
		found, err := r.desk.outcomes.Progress(ctx, service, ids)
		if err != nil {
			return err
		}
		for id, p := range found {
			r.progress[id] = p
		}
	}
	return nil
}

// outcome says what became of an item that was begun, by the last look; "" while it is not known.
func (r *run) outcome(item Item) (outcome, detail string) {
	switch p := r.progress[item.ID]; {
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

// end tells what became of an item, and has what was done about a planned one noted.
func (r *run) end(ctx context.Context, item Item, outcome, detail string, parked bool) error {
	result := plan.Result{ID: item.ID, Outcome: outcome, Detail: detail, Service: item.Service, Handler: item.Handler, OrderID: item.OrderID, Parked: parked}
	if !parked && outcome != plan.Skipped {
		if err := r.desk.audit.Note(ctx, item, r.plan.Action, r.request.By, result); err != nil {
			return err
		}
		r.throttle.Ended(outcome)
	}
	r.sum.Add(result)
	r.tell(result)
	return nil
}
