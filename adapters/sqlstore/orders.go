package sqlstore

import (
	"context"
	"fmt"

	app "millrace/app/order"
	"millrace/domain/order"
)

var (
	orderRow = insert("orders",
		"id, user_id, status, currency, total, payment_method, version, created_at, updated_at", "")
	itemRow     = insert("order_items", "order_id, line, sku, qty, price", "")
	timelineRow = insert("order_timeline", "order_id, seq, at, event, status, event_id", "")
	replyRow    = insert("idempotency_keys", "user_id, key, request_hash, status, body, order_id, created_at", "")
	cancelRow   = update("orders", "cancel_requested = TRUE, updated_at = v.column2, version = orders.version + 1",
		"orders.id = v.column1", "TEXT", "TIMESTAMPTZ")
)

// Orders is the order service's state.
type Orders struct{ core *Core }

// NewOrders makes the store.
func NewOrders(core *Core) *Orders { return &Orders{core} }

// Do runs fn in one transaction; see app/order.Work.
func (s *Orders) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&orderTx{u}) })
}

type orderTx struct{ *unit }

func (t *orderTx) Reply(_ context.Context, key app.Key) (*app.Reply, error) {
	var rows []struct {
		RequestHash string `db:"request_hash"`
		Status      int    `db:"status"`
		Body        []byte `db:"body"`
		OrderID     string `db:"order_id"`
	}
	const query = "SELECT request_hash, status, body, order_id FROM idempotency_keys WHERE user_id = ? AND key IN (?)"
	if err := t.in(&rows, query, key.UserID, []string{key.Key}); err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	return &app.Reply{Key: key, RequestHash: r.RequestHash, Status: r.Status, Body: r.Body, OrderID: r.OrderID}, nil
}

func (t *orderTx) KeepReply(r app.Reply) {
	t.stage(replyRow, r.Key.UserID, r.Key.Key, r.RequestHash, r.Status, r.Body, r.OrderID, t.now)
}

func (t *orderTx) Orders(_ context.Context, ids ...order.ID) (map[order.ID]*order.Order, error) {
	var rows []orderRecord
	if err := t.in(&rows, orderColumns+" WHERE id IN (?) ORDER BY id"+t.core.DB.Dialect.ForUpdate(), ids); err != nil {
		return nil, err
	}
	found := make(map[order.ID]*order.Order, len(rows))
	for _, r := range rows {
		o, err := r.restore(nil, nil)
		if err != nil {
			return nil, err
		}
		found[o.ID()] = o
	}
	return found, nil
}

func (t *orderTx) Add(o *order.Order) {
	s := o.Snapshot()
	id := string(s.ID)
	t.stage(orderRow, id, string(s.UserID), s.Status.String(), s.Total.Currency.String(), s.Total.Minor,
		s.PaymentMethod, s.Version, s.CreatedAt, s.UpdatedAt)
	for i, item := range s.Items {
		t.stage(itemRow, id, i+1, string(item.SKU), item.Qty, item.Price)
	}
	t.opening = func(eventID string) {
		t.stage(timelineRow, id, 1, s.CreatedAt, "OrderCreated", s.Status.String(), eventID)
	}
}

func (t *orderTx) KeepCancel(o *order.Order) {
	s := o.Snapshot()
	t.stage(cancelRow, string(s.ID), s.UpdatedAt)
}

// Seed stores the catalog where it is missing.
func (s *Orders) Seed(ctx context.Context, products []app.Product) error {
	rows := make([][]any, len(products))
	for i, p := range products {
		rows[i] = []any{p.SKU, p.Name, p.Price, p.Currency}
	}
	if err := s.core.seed(ctx, productRow, rows); err != nil {
		return fmt.Errorf("seed the catalog: %w", err)
	}
	return nil
}
