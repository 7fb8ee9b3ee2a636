package deadletters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/domain/fault"
	"millrace/domain/plan"
)

// Applying a plan is a loop: every turn looks at what was begun (outcome.go), and moves each order's queue on (queue.go),
// which begins the next act (act.go) under the order's lease (lease.go). What earlier runs of the plan have done is
// remembered first (earlier.go). An apply of sagas is the same loop under the same names: sagas/operator.

// Request is what Apply is told beside the plan.
type Request struct {
	Confirm    string           // the plan's sha256
	By         plan.Attribution // who, and why
	Force      bool             // redrive even what was sent again too often
	NewEffects bool             // the plan may charge, give money back and mail
	Timeout    time.Duration    // to wait for outcomes, from the last item that was begun
	Pace       plan.Pace
}

// pollInterval is how often what is under way is looked at.
const pollInterval = 100 * time.Millisecond

// Apply does what a plan says, and waits until it is known what came of it. Letters of one order are
// dealt with one after the other, different orders side by side; an order whose lease another apply has, of
// letters or of sagas, is skipped. Each result is told as soon as it
// is known. Applying a plan again goes on where the last time ended and does nothing twice.
//
// It fails, having done nothing, with plan.ErrAltered, plan.ErrUnconfirmed, plan.ErrNewEffects or ErrTooOften.
func (d *Desk) Apply(ctx context.Context, p Plan, request Request, tell func(plan.Result)) (plan.Sum, error) {
	if err := allowed(p, request); err != nil {
		return plan.Sum{}, err
	}
	request.By.Plan = p.SHA256
	r := &run{
		desk: d, plan: p, request: request, tell: tell, sum: plan.Sum{OK: true, Items: []plan.Result{}},
		throttle: plan.NewThrottle(request.Pace, len(p.Items), d.now), queues: queuesOf(p.Items),
		leased: map[string]bool{}, earlier: map[string]bool{}, deadline: d.now().Add(request.Timeout),
	}
	for {
		err := r.turn(ctx)
		late := !d.now().Before(r.deadline)
		switch {
		case err != nil && (late || fault.KindOf(err) != fault.Unavailable): // what is only busy or away may come back
			return r.sum, err
		case late:
			if err := r.giveUp(ctx); err != nil {
				return r.sum, err
			}
		}
		if !slices.ContainsFunc(r.queues, func(q *queue) bool { return !q.over() }) {
			return r.sum, nil
		}
		if err := d.pause(ctx, pollInterval); err != nil {
			return r.sum, err
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
	case p.Totals.Moves() && !r.NewEffects:
		return plan.ErrNewEffects.Because(errors.New(p.Totals.String()))
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

// run is one run of Apply.
type run struct {
	desk     *Desk
	plan     Plan
	request  Request
	tell     func(plan.Result)
	sum      plan.Sum
	throttle *plan.Throttle
	queues   []*queue

	progress   map[string]Progress // by letter, at the last look
	leased     map[string]bool     // orders whose lease the plan has
	earlier    map[string]bool     // letters on which the plan has acted, as the audit said when it was asked
	remembered bool                // it was asked what earlier runs have done
	deadline   time.Time           // moves on with every item that is begun
}

// turn looks what has become of what was begun, and begins what may be.
func (r *run) turn(ctx context.Context) error {
	if !r.remembered {
		if err := r.remember(ctx); err != nil {
			return err
		}
	}
	if err := r.renewLeases(ctx); err != nil {
		return err
	}
	if err := r.observe(ctx); err != nil {
		return err
	}
	for _, q := range r.queues {
		if err := r.advance(ctx, q); err != nil {
			return err
		}
	}
	return r.releaseLeases(ctx)
}

// giveUp says of everything that has not ended where it is, and releases all leases.
func (r *run) giveUp(ctx context.Context) error {
	for _, q := range r.queues {
		if err := r.abandon(ctx, q); err != nil {
			return err
		}
	}
	return r.releaseLeases(ctx)
}
