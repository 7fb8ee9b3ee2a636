package deadletters

import (
	"context"
	"errors"
)

// hold keeps the plan's orders in hand while the run is alive, those too that an earlier run took and could not
// let go. One that another plan has taken over is not let go by this one.
func (w *work) hold(ctx context.Context) error {
	orders, err := w.desk.store.Hold(ctx, w.request.By)
	if err != nil {
		return err
	}
	clear(w.held)
	for _, order := range orders {
		w.held[order] = true
	}
	return nil
}

// take takes the letter's order in hand. What an earlier run has done to it is heard of all the same when another
// plan has the order by now.
func (w *work) take(ctx context.Context, item Item) error {
	if item.OrderID == "" {
		return nil
	}
	err := w.desk.store.Take(ctx, item.OrderID, w.request.By)
	if errors.Is(err, ErrInHand) && w.resumed(item) {
		return nil
	}
	if err == nil {
		w.held[item.OrderID] = true
	}
	return err
}

// letGo lets the orders go of whose letters everything is known, at all consumers.
func (w *work) letGo(ctx context.Context, queues []*queue) error {
	open := map[string]bool{}
	for _, q := range queues {
		open[q.order] = open[q.order] || !q.over()
	}
	for order := range w.held {
		if open[order] {
			continue
		}
		if err := w.desk.store.LetGo(ctx, order, w.request.By); err != nil {
			return err
		}
		delete(w.held, order)
	}
	return nil
}
