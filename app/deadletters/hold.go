package deadletters

import (
	"context"
)

// hold keeps the plan's orders in hand while the run is alive, those too that an earlier run took and could not
// let go. One that another plan has taken over is not let go by this one.
func (r *run) hold(ctx context.Context) error {
	orders, err := r.desk.store.Hold(ctx, r.request.By)
	if err != nil {
		return err
	}
	clear(r.held)
	for _, order := range orders {
		r.held[order] = true
	}
	return nil
}

// take takes the letter's order in hand.
func (r *run) take(ctx context.Context, item Item) error {
	if item.OrderID == "" {
		return nil
	}
	err := r.desk.store.Take(ctx, item.OrderID, r.request.By)
	if err == nil {
		r.held[item.OrderID] = true
	}
	return err
}

// letGo lets the orders go of whose letters everything is known, at all consumers.
func (r *run) letGo(ctx context.Context) error {
	open := map[string]bool{}
	for _, q := range r.queues {
		open[q.order] = open[q.order] || !q.over()
	}
	for order := range r.held {
		if open[order] {
			continue
		}
		if err := r.desk.store.LetGo(ctx, order, r.request.By); err != nil {
			return err
		}
		delete(r.held, order)
	}
	return nil
}
