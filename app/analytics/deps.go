// Package analytics is the subscriber that fills the read models: which orders of a user have ended
// and how, and what the orders of a day came to. It hears how orders end and decides nothing about
// them; everything here can be thrown away and made anew from the sagas' journal, with the same
// functions. No SQL, Kafka or HTTP may be in this package, and nothing is ever sent from here.
package analytics

import (
	"context"
	"time"

	"millrace/domain/fault"
)

// The read models, by the names that they have in commands and in the database.
const (
	OrdersByUser = "orders_by_user"
	DailySales   = "daily_sales"
)

// Models lists the read models.
var Models = []string{OrdersByUser, DailySales}

// ErrNoOrder: the message is about an order that was never accepted here. An order is stored before its
// first message leaves, so this does not mend itself.
var ErrNoOrder = fault.New(fault.Invalid, "unknown_order", "no such order was ever accepted")

// Work is one transaction of the read models. Do commits when fn returns nil and otherwise leaves no
// trace. For one message id in ctx, fn takes effect at most once; it may be run more than once, so it
// does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can see and stage.
type Tx interface {
	// Known says when an order was placed, and which read models have it. It fails with ErrNoOrder.
	Known(ctx context.Context, orderID string) (Known, error)
	// List stages the order's row of orders_by_user.
	List(o Ended)
	// Count stages that daily_sales counts the order.
	Count(o Ended)
}

// Known is what is known of an order before its end is recorded.
type Known struct {
	PlacedAt time.Time // UTC
	Listed   bool      // orders_by_user has it
	Counted  bool      // daily_sales has counted it
}
