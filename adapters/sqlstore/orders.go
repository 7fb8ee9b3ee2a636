package sqlstore

import (
	"context"
	"fmt"

	"millrace/adapters/sqldb"
	app "millrace/app/order"
	"millrace/domain/order"
)

var (
	orderRow = insert("orders", `id text, user_id text, status text, currency text, total bigint, payment_method text,
		version integer, created_at timestamptz, updated_at timestamptz`, "")
	itemRow     = insert("order_items", "order_id text, line integer, sku text, qty integer, price bigint", "")
	timelineRow = insert("order_timeline", "order_id text, seq integer, at timestamptz, event text, status text, event_id text", "")
	replyRow    = insert("idempotency_keys", `user_id text, key text, request_hash text, status integer, body bytea, order_id text,
		created_at timestamptz`, "")
	cancelRow = update("orders", "cancel_requested = TRUE, updated_at = v.updated_at, version = orders.version + 1",
		"orders.id = v.id", "id text, updated_at timestamptz").lastPerKey()
)

var (
	replies = &loader[app.Key, app.Reply]{"replies", readReplies}
	orders  = &loader[order.ID, orderRecord]{"orders", readOrders}
)

// Orders is the order service's state.
type Orders struct {
	core *Core
	open openCount
}

// NewOrders makes the store.
func NewOrders(core *Core) *Orders { return &Orders{core: core} }

// Do runs fn in one transaction; see app/order.Work.
func (s *Orders) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&orderTx{u}) })
}

type orderTx struct{ *unit }

func (t *orderTx) Reply(_ context.Context, key app.Key) (*app.Reply, error) {
	found, err := replies.get(t.unit, key)
	if err != nil {
		return nil, err
	}
	if r, ok := found[key]; ok {
		return &r, nil
	}
	return nil, nil
}

func (t *orderTx) KeepReply(r app.Reply) {
	t.stage(replyRow, r.Key.UserID, r.Key.Key, r.RequestHash, r.Status, r.Body, r.OrderID, t.now)
	replies.put(t.unit, r.Key, r)
}

func readReplies(b *batch, keys []app.Key) reading[app.Key, app.Reply] {
	var rows []struct {
		UserID      string `db:"user_id"`
		Key         string `db:"key"`
		RequestHash string `db:"request_hash"`
		Status      int    `db:"status"`
		Body        []byte `db:"body"`
		OrderID     string `db:"order_id"`
	}
	users, names := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		users[i], names[i] = k.UserID, k.Key
	}
	const columns = "SELECT user_id, key, request_hash, status, body, order_id FROM idempotency_keys WHERE "
	statement := sqldb.Statement{Into: &rows}
	if b.core.DB.Dialect == sqldb.Postgres {
		statement.Query = columns + "(user_id, key) IN (SELECT * FROM unnest(?::text[], ?::text[]))"
		statement.Args = []any{users, names}
	} else {
		pairs := make([][2]string, len(keys))
		for i := range keys {
			pairs[i] = [2]string{users[i], names[i]}
		}
		statement.Query = columns + "(user_id, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"
		statement.Args = []any{jsonText(pairs)}
	}
	return reading[app.Key, app.Reply]{[]sqldb.Statement{statement}, func() map[app.Key]app.Reply {
		found := make(map[app.Key]app.Reply, len(rows))
		for _, r := range rows {
			key := app.Key{UserID: r.UserID, Key: r.Key}
			found[key] = app.Reply{Key: key, RequestHash: r.RequestHash, Status: r.Status, Body: r.Body, OrderID: r.OrderID}
		}
		return found
	}}
}

func (t *orderTx) Orders(_ context.Context, ids ...order.ID) (map[order.ID]*order.Order, error) {
	rows, err := orders.get(t.unit, ids...)
	if err != nil {
		return nil, err
	}
	found := make(map[order.ID]*order.Order, len(rows))
	for id, r := range rows {
		if found[id], err = r.restore(nil, nil); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func readOrders(b *batch, ids []order.ID) reading[order.ID, orderRecord] {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = string(id)
	}
	query := orderColumns + " WHERE " + b.among("id") + " ORDER BY id" + b.core.DB.Dialect.ForUpdate()
	return byKey(new([]orderRecord), func(r orderRecord) order.ID { return order.ID(r.ID) }, query, b.set(keys))
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
	if was, ok := orders.of(t.batch).rows[s.ID]; ok {
		was.CancelRequested, was.UpdatedAt = true, s.UpdatedAt
		orders.put(t.unit, s.ID, was)
	}
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
