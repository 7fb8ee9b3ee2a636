// Package inventory is the inventory service: it sets stock aside for paid orders and frees it
// when the saga asks for it. No SQL, Kafka or HTTP may be in this package.
package inventory

import (
	"context"

	"millrace/app/messages"
	"millrace/domain/inventory"
)

// Work is one transaction of the inventory service. Do commits when fn returns nil and otherwise
// leaves no trace: neither stock nor message. For one message id in ctx, fn takes effect at most
// once; it may be run more than once, so it does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can see and stage.
type Tx interface {
	// Shelf gives the stock of the SKUs, of those that the order holds, and the order's
	// reservation. All are locked until the end, stock in SKU order. An unknown SKU has no stock.
	Shelf(ctx context.Context, orderID string, skus []string) (*inventory.Shelf, error)
	// Keep stages the changes of a shelf.
	Keep(s *inventory.Shelf)
	// Publish stages a message for the outbox.
	Publish(m messages.Message) error
}

// Stock reads levels outside of any transaction.
type Stock interface {
	// Levels gives every SKU's stock, in SKU order.
	Levels(ctx context.Context) ([]inventory.Level, error)
	// Level fails with fault.NotFound for an unknown SKU.
	Level(ctx context.Context, sku string) (inventory.Level, error)
}

// Warehouse is where stock lies. There is one.
const Warehouse = "main"
