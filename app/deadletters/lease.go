package deadletters

import "context"

// An order's lease is what keeps two applies from acting on one order at once. An apply acquires it before its first act
// on the order, renews it at every look, and releases it when everything is known of the order's letters.

// renewLeases renews the leases of the plan while the run is alive, those too that an earlier run acquired and could
// not release. One that another plan has taken over is not released by this one.
func (r *run) renewLeases(ctx context.Context) error {
	orders, err := r.desk.leases.RenewLeases(ctx, r.request.By)
	if err != nil {
		return err
	}
	clear(r.leased)
	for _, order := range orders {
		r.leased[order] = true
	}
	return nil
}

// acquireLease acquires the lease of the letter's order. A letter that names no order needs none.
func (r *run) acquireLease(ctx context.Context, item Item) error {
	if item.OrderID == "" {
		return nil
	}
	err := r.desk.leases.AcquireLease(ctx, item.OrderID, r.request.By)
	if err == nil {
		r.leased[item.OrderID] = true
	}
	return err
}

// releaseLeases releases the leases of the orders of whose letters everything is known, at all consumers.
func (r *run) releaseLeases(ctx context.Context) error {
	open := map[string]bool{}
	for _, q := range r.queues {
		open[q.order] = open[q.order] || !q.over()
	}
	for order := range r.leased {
		if open[order] {
			continue
		}
		if err := r.desk.leases.ReleaseLease(ctx, order, r.request.By); err != nil {
			return err
		}
		delete(r.leased, order)
	}
	return nil
}
