package main

import (
	"context"
	"time"

	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/messages"
	"millrace/app/order"
)

const (
	// mostStreams is how many streams of orders' events a process keeps open.
	mostStreams = 1000
	// tellEvery is how soon what has happened to an order is told to those who follow it.
	tellEvery = 200 * time.Millisecond
	tellLimit = 2 * time.Second
)

// followed tells those who follow orders what happens to them, with one question to the database for all.
func (s *stack) followed(store *sqlstore.Orders, metrics *telemetry.Metrics) *order.FollowOrder {
	follow := order.NewFollowOrder(store, store, mostStreams, metrics.OrderStreams)
	s.every(tellEvery, "look at orders that are followed", s.logger(messages.OrderService), func(ctx context.Context) error {
		limit, cancel := context.WithTimeout(ctx, tellLimit)
		defer cancel()
		return follow.Look(limit)
	})
	return follow
}
