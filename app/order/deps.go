// Package order is the order service: it takes orders, shows them, and passes on the wish to
// cancel. What becomes of an order is decided by the saga, in sagas/. No SQL, Kafka or HTTP may
// be in this package.
package order

import (
	"context"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/order"
)

// Work is one transaction of ordering. Do commits when fn returns nil and otherwise leaves no
// trace: neither order nor message. fn may be run more than once, so it does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can see and stage.
type Tx interface {
	// Reply gives the stored reply of a key, nil when there is none. A second request with a key
	// that is in use fails at its commit and is run again; then it sees the first one's reply.
	Reply(ctx context.Context, key Key) (*Reply, error)
	// KeepReply stages the reply of a key.
	KeepReply(r Reply)
	// Orders gives the orders that exist, each locked until the end.
	Orders(ctx context.Context, ids ...order.ID) (map[order.ID]*order.Order, error)
	// Add stages a new order with the first entry of its timeline, which names the message that
	// is published next.
	Add(o *order.Order)
	// KeepCancel stages that the customer asked for a cancel.
	KeepCancel(o *order.Order)
	// Publish stages a message for the outbox.
	Publish(m messages.Message) error
}

// Key is an Idempotency-Key; it means something only together with its user.
type Key struct {
	UserID string
	Key    string
}

// Reply is the answer that was given to a key's first request.
type Reply struct {
	Key         Key
	RequestHash string // of the body's bytes
	Status      int    // of the HTTP answer
	Body        []byte // of the HTTP answer, byte for byte
	OrderID     string
}

// Replies is a cache of replies in front of the database: it may forget, and may be away.
type Replies interface {
	Get(ctx context.Context, key Key) (*Reply, bool)
	Put(ctx context.Context, r Reply)
}

// Catalog knows the products and their prices.
type Catalog interface {
	// Products gives those of the SKUs that exist.
	Products(ctx context.Context, skus []string) (map[string]Product, error)
	// All gives every product, in SKU order.
	All(ctx context.Context) ([]Product, error)
}

// Product is one thing that can be bought. Price is in minor units.
type Product struct {
	SKU      string
	Name     string
	Price    int64
	Currency string
}

// ErrNoProduct: there is no product with that SKU.
var ErrNoProduct = fault.New(fault.NotFound, "product_not_found", "there is no product with that SKU")

// Orders reads orders outside of any transaction.
type Orders interface {
	// Order gives an order with its timeline; it fails with order.ErrNotFound.
	Order(ctx context.Context, id order.ID) (*order.Order, error)
	// List gives a page of orders without their timelines, newest first, and whether there are more.
	List(ctx context.Context, f Filter) (page []*order.Order, more bool, err error)
}

// Filter chooses orders. Zero values do not restrict.
type Filter struct {
	Status order.Status
	UserID string
	From   time.Time // created at or after
	To     time.Time // created before
	Limit  int       // 1 to 200
	Before order.ID  // only orders older than this one: ids sort by age
}

// Timelines reads what was added to many timelines at once, outside of any transaction.
type Timelines interface {
	// Since gives the orders with entries behind the one that stands beside their ids, with these entries. Each is as it
	// was at one moment: with the entry that ends it, it has its last status and reason.
	Since(ctx context.Context, seen map[order.ID]int) ([]Progress, error)
}

// IDs makes order ids that sort by time.
type IDs interface {
	NewOrderID() order.ID
}
