// Package life is the work that the peers do: one order's life in seven transactions, as rows.
//
// accept stores the order; six steps follow, each about one message, each in one transaction, each
// guarded by an inbox row. What a step writes is one statement, so that a peer pays one round trip
// for it. How messages travel is the peer's own affair and not in here.
package life

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema string

// Order is an order, in the messages and in the rows.
type Order struct {
	ID    string `json:"orderId"`
	User  string `json:"userId"`
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
	Price int64  `json:"price"` // minor units, each
}

// Total is what the order costs, in minor units.
func (o Order) Total() int64 { return o.Price * int64(o.Qty) }

// The messages of an order that goes well, in the order in which they cause each other.
const (
	OrderCreated      = "OrderCreated"
	PaymentSucceeded  = "PaymentSucceeded"
	InventoryReserved = "InventoryReserved"
	OrderCompleted    = "OrderCompleted"
)

// TopicOf says where a message travels.
func TopicOf(message string) string {
	switch message {
	case PaymentSucceeded:
		return "payment.events"
	case InventoryReserved:
		return "inventory.events"
	default:
		return "order.events"
	}
}

// Accept is the statement that stores a new order.
const Accept = `WITH o AS (INSERT INTO orders VALUES ($1, $2, 0, $3, $4, $4))
INSERT INTO order_items VALUES ($1, 1, $5, $6, $7)`

// AcceptArgs are the arguments of Accept.
func AcceptArgs(o Order, now time.Time) []any {
	return []any{o.ID, o.User, o.Total(), now, o.SKU, o.Qty, o.Price}
}

// Step is what one consumer does about one message.
type Step struct {
	Consumer string
	On       string // the message that it is about
	Sends    string // the message that follows, or none
	// Statement writes the inbox row and, where that is new, everything else. It gives one row
	// with the number of inbox rows that it wrote: 0 for a duplicate.
	Statement string
	args      func(Order) []any
}

// Args are the arguments of the step's statement. The message id is the order's with the message's
// name: a message comes from its cause alone, so it is the same however often that is repeated.
func (s Step) Args(o Order, now time.Time) []any {
	return append([]any{s.Consumer, o.ID + ":" + s.On, now, o.ID}, s.args(o)...)
}

const (
	fresh = "WITH fresh AS (INSERT INTO inbox VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1)"
	count = " SELECT count(*) FROM fresh"
)

// Steps are the six steps. Statuses only ever rise, so it does not matter that topics have no order
// among each other.
var Steps = []Step{
	{"saga_order_created", OrderCreated, "", fresh + `,
		a AS (INSERT INTO sagas SELECT $4, 1, $3 FROM fresh ON CONFLICT DO NOTHING),
		b AS (UPDATE orders SET status = greatest(status, 1), updated_at = $3 FROM fresh WHERE id = $4)` + count,
		func(Order) []any { return nil }},
	{"capture_payment", OrderCreated, PaymentSucceeded, fresh + `,
		a AS (INSERT INTO payments SELECT $4, $5::bigint, $3 FROM fresh)` + count,
		func(o Order) []any { return []any{o.Total()} }},
	{"saga_payment_succeeded", PaymentSucceeded, "", fresh + `,
		a AS (INSERT INTO order_timeline SELECT $4, 'PaymentSucceeded', $3 FROM fresh),
		b AS (UPDATE orders SET status = greatest(status, 2), updated_at = $3 FROM fresh WHERE id = $4),
		c AS (INSERT INTO sagas SELECT $4, 2, $3 FROM fresh
			ON CONFLICT (order_id) DO UPDATE SET step = greatest(sagas.step, 2), updated_at = $3)` + count,
		func(Order) []any { return nil }},
	{"reserve_stock", PaymentSucceeded, InventoryReserved, fresh + `,
		a AS (INSERT INTO reservations SELECT $4, $5, $6::integer, $3 FROM fresh),
		b AS (UPDATE stock SET reserved = reserved + $6::integer FROM fresh WHERE sku = $5)` + count,
		func(o Order) []any { return []any{o.SKU, o.Qty} }},
	{"saga_inventory_reserved", InventoryReserved, OrderCompleted, fresh + `,
		a AS (INSERT INTO order_timeline SELECT $4, 'OrderCompleted', $3 FROM fresh),
		b AS (UPDATE orders SET status = 3, updated_at = $3 FROM fresh WHERE id = $4),
		c AS (INSERT INTO sagas SELECT $4, 3, $3 FROM fresh
			ON CONFLICT (order_id) DO UPDATE SET step = 3, updated_at = $3)` + count,
		func(Order) []any { return nil }},
	{"notify_customer", OrderCompleted, "", fresh + `,
		a AS (INSERT INTO notices SELECT $4, $3 FROM fresh)` + count,
		func(Order) []any { return nil }},
}

// On gives the steps that are about a message.
func On(message string) []Step {
	var steps []Step
	for _, s := range Steps {
		if s.On == message {
			steps = append(steps, s)
		}
	}
	return steps
}

// Create makes the tables and fills the stock, where that was not done before.
func Create(ctx context.Context, db *pgx.Conn) error {
	if _, err := db.Exec(ctx, schema); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	return nil
}

// Check says whether every order ended as it should, each with all of its rows, and fails with what
// is wrong otherwise. It gives the number of orders.
func Check(ctx context.Context, db *pgx.Conn) (int, error) {
	var orders, wrong int
	err := db.QueryRow(ctx, `SELECT count(*),
		count(*) FILTER (WHERE o.status <> 3 OR s.step IS DISTINCT FROM 3 OR p.amount IS DISTINCT FROM o.total
			OR r.qty IS DISTINCT FROM i.qty OR n.order_id IS NULL
			OR (SELECT count(*) FROM order_timeline t WHERE t.order_id = o.id) <> 2)
		FROM orders o LEFT JOIN order_items i ON i.order_id = o.id LEFT JOIN sagas s ON s.order_id = o.id
		LEFT JOIN payments p ON p.order_id = o.id LEFT JOIN reservations r ON r.order_id = o.id
		LEFT JOIN notices n ON n.order_id = o.id`).Scan(&orders, &wrong)
	if err != nil {
		return 0, fmt.Errorf("check the orders: %w", err)
	}
	if wrong > 0 {
		return orders, fmt.Errorf("%d of %d orders did not end as they should", wrong, orders)
	}
	var inbox, reserved, wanted int
	err = db.QueryRow(ctx, `SELECT (SELECT count(*) FROM inbox), (SELECT coalesce(sum(reserved), 0) FROM stock),
		(SELECT coalesce(sum(qty), 0) FROM order_items)`).Scan(&inbox, &reserved, &wanted)
	switch {
	case err != nil:
		return 0, fmt.Errorf("check the books: %w", err)
	case inbox != orders*len(Steps):
		return orders, fmt.Errorf("%d orders have left %d inbox rows, not %d", orders, inbox, orders*len(Steps))
	case reserved != wanted:
		return orders, fmt.Errorf("%d pieces are reserved, %d were ordered", reserved, wanted)
	}
	return orders, nil
}
