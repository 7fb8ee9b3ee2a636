package main

import (
	"context"
	"sync/atomic"
	"time"

	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/messages"
	"millrace/app/order"
)

const (
	// mostInHand is how many requests to place an order may wait for the database: about as many as it
	// takes in one transaction, so that nobody waits for more than the one under way and the next.
	mostInHand = 512
	// lookEvery is how soon an order that has ended makes room for another.
	lookEvery = 250 * time.Millisecond
	lookLimit = 2 * time.Second
)

// door lets orders in as long as they can be worked off.
func (s *stack) door(place order.Placing, store *sqlstore.Orders, metrics *telemetry.Metrics) *order.Admission {
	var refused atomic.Int64
	admission := order.NewAdmission(place, store, order.Limits{InHand: mostInHand, UnderWay: s.mostOpen}, func(why string) {
		refused.Add(1)
		metrics.OrderRefused(why)
	}, time.Now)
	logger := s.logger(messages.OrderService)
	s.every(lookEvery, "count of orders under way", logger, func(ctx context.Context) error {
		limit, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		return admission.Look(limit)
	})
	s.every(5*time.Second, "count of refused orders", logger, func(ctx context.Context) error {
		if n := refused.Swap(0); n > 0 {
			logger.WarnContext(ctx, "more orders come in than can be worked off", "refused", n, "mostUnderWay", s.mostOpen)
		}
		return nil
	})
	return admission
}
