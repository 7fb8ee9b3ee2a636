package operator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"millrace/domain/fault"
	"millrace/domain/money"
	"millrace/domain/plan"
)

// Applying a plan is a loop: every turn ends the items of which it is known what became of them (outcome.go), and
// begins the next acts (act.go). Sagas do not wait for one another, so there are no queues; otherwise an apply of dead
// letters is the same loop under the same names: app/deadletters.

// Request is what Apply is told beside the plan.
type Request struct {
	Confirm    string           // the plan's sha256
	By         plan.Attribution // who, and why
	NewEffects bool             // the plan may do what its repetition would do again
	Timeout    time.Duration    // to wait for an outcome, from when its act was done
	Pace       plan.Pace
}

const (
	pollInterval = 250 * time.Millisecond // between two looks at what is under way
	mostActs     = 50                     // between two looks
)

// Apply does what a plan says, an act a transaction, and waits until it is known what came of each. Each
// result is told as soon as it is known. Applying a plan again, after a crash too, goes on where the last
// time ended: what was done is in the audit and is not done again.
//
// It fails, having done nothing, with plan.ErrAltered, plan.ErrUnconfirmed or plan.ErrNewEffects.
func (d *Desk) Apply(ctx context.Context, p Plan, request Request, tell func(plan.Result)) (plan.Sum, error) {
	if err := allowed(p, request); err != nil {
		return plan.Sum{}, err
	}
	request.By.Plan = p.SHA256
	r := &run{
		desk: d, plan: p, request: request, tell: tell, sum: plan.Sum{OK: true, Items: []plan.Result{}},
		throttle: plan.NewThrottle(request.Pace, len(p.Items), d.now), heard: d.now(),
	}
	for _, item := range p.Items {
		r.open = append(r.open, &task{Item: item})
	}
	for {
		err := r.turn(ctx)
		switch {
		case err != nil && (fault.KindOf(err) != fault.Unavailable || d.now().Sub(r.heard) >= request.Timeout): // what is only busy or away may come back
			return r.partial(), err
		case len(r.open) == 0:
			return r.sum, nil
		}
		if err := d.pause(ctx, pollInterval); err != nil {
			return r.partial(), err
		}
	}
}

// allowed says whether a plan may be applied at all.
func allowed(p Plan, r Request) error {
	sum, err := p.sum()
	switch {
	case err != nil || sum != p.SHA256:
		return plan.ErrAltered
	case r.Confirm != p.SHA256:
		return plan.ErrUnconfirmed
	case p.NewEffects() && !r.NewEffects:
		return plan.ErrNewEffects.Because(fmt.Errorf("%d messages with new ids, %d mails, %s to be charged, %s to be given back",
			p.Totals.New, p.Totals.Mails, money.Sums(p.Totals.Captures), money.Sums(p.Totals.Money)))
	}
	return nil
}

// run is one run of Apply.
type run struct {
	desk     *Desk
	plan     Plan
	request  Request
	tell     func(plan.Result)
	sum      plan.Sum
	throttle *plan.Throttle
	open     []*task // items that have not ended

	remembered bool      // it was asked what earlier runs have done
	heard      time.Time // when the stores last answered
}

// task is an item on its way.
type task struct {
	Item

	begun    bool
	at       time.Time // when its act was done
	deadline time.Time
}

// turn looks what has become of what was begun, and begins what may be.
func (r *run) turn(ctx context.Context) error {
	if !r.remembered {
		if err := r.remember(ctx); err != nil {
			return err
		}
	}
	if err := r.desk.leases.RenewLeases(ctx, r.plan.SHA256); err != nil {
		return err
	}
	if err := r.observe(ctx); err != nil {
		return err
	}
	acts := 0
	for _, t := range slices.Clone(r.open) {
		if t.begun {
			continue
		}
		if why := r.throttle.Stopped(); why != "" {
			if err := r.end(ctx, t, plan.Skipped, why); err != nil {
				return err
			}
			continue
		}
		if acts == mostActs || !r.throttle.May() {
			continue
		}
		if err := r.begin(ctx, t); err != nil {
			return err
		}
		acts++
	}
	r.heard = r.desk.now()
	return nil
}

// partial is the sum of a run that was broken off.
func (r *run) partial() plan.Sum {
	r.sum.OK = false
	return r.sum
}
