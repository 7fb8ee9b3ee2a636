package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/order"
	"millrace/domain/money"
	"millrace/domain/order"
)

const orderColumns = `SELECT id, user_id, status, reason, currency, total, payment_method, undoing, cancel_requested, version,
	created_at, updated_at FROM orders`

type orderRecord struct {
	ID              string    `db:"id"`
	UserID          string    `db:"user_id"`
	Status          string    `db:"status"`
	Reason          string    `db:"reason"`
	Currency        string    `db:"currency"`
	Total           int64     `db:"total"`
	PaymentMethod   string    `db:"payment_method"`
	Undoing         bool      `db:"undoing"`
	CancelRequested bool      `db:"cancel_requested"`
	Version         int       `db:"version"`
	CreatedAt       time.Time `db:"created_at"`
	UpdatedAt       time.Time `db:"updated_at"`
}

type itemRecord struct {
	OrderID string `db:"order_id"`
	SKU     string `db:"sku"`
	Qty     int    `db:"qty"`
	Price   int64  `db:"price"`
}

type entryRecord struct {
	Seq     int       `db:"seq"`
	At      time.Time `db:"at"`
	Event   string    `db:"event"`
	Status  string    `db:"status"`
	EventID string    `db:"event_id"`
}

func (r entryRecord) restore() (order.Entry, error) {
	status, err := order.ParseStatus(r.Status)
	return order.Entry{Seq: r.Seq, At: r.At.UTC(), Event: r.Event, Status: status, EventID: r.EventID}, err
}

func (r orderRecord) restore(items []itemRecord, entries []entryRecord) (*order.Order, error) {
	status, err := order.ParseStatus(r.Status)
	if err != nil {
		return nil, fmt.Errorf("order %s: %w", r.ID, err)
	}
	s := order.Snapshot{
		ID: order.ID(r.ID), UserID: order.UserID(r.UserID), Status: status, Reason: r.Reason,
		Total: money.Of(r.Total, money.RestoreCurrency(r.Currency)), PaymentMethod: r.PaymentMethod,
		Undoing: r.Undoing, CancelRequested: r.CancelRequested, Version: r.Version,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	for _, i := range items {
		s.Items = append(s.Items, order.Item{SKU: order.SKU(i.SKU), Qty: i.Qty, Price: i.Price})
	}
	for _, e := range entries {
		entry, err := e.restore()
		if err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", r.ID, err)
		}
		s.Timeline = append(s.Timeline, entry)
	}
	return order.Restore(s), nil
}

// orderWithTimeline reads both in one statement, which sees one moment: an order never stands
// beside entries that came after it.
const orderWithTimeline = `SELECT o.id, o.user_id, o.status, o.reason, o.currency, o.total, o.payment_method, o.undoing,
	o.cancel_requested, o.version, o.created_at, o.updated_at, l.seq, l.at, l.event, l.status AS entry_status, l.event_id
	FROM orders o LEFT JOIN order_timeline l ON l.order_id = o.id WHERE o.id = ? ORDER BY l.seq`

// Order reads one order with items and timeline.
func (s *Orders) Order(ctx context.Context, id order.ID) (*order.Order, error) {
	var rows []struct {
		orderRecord
		Seq         *int       `db:"seq"`
		At          *time.Time `db:"at"`
		Event       *string    `db:"event"`
		EntryStatus *string    `db:"entry_status"`
		EventID     *string    `db:"event_id"`
	}
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(orderWithTimeline), string(id)); err != nil {
		return nil, fmt.Errorf("read order: %w", sqldb.Classify(err))
	}
	if len(rows) == 0 {
		return nil, order.ErrNotFound
	}
	items, err := s.items(ctx, []string{string(id)})
	if err != nil {
		return nil, err
	}
	var entries []entryRecord
	for _, r := range rows {
		if r.Seq != nil {
			entries = append(entries, entryRecord{*r.Seq, *r.At, *r.Event, *r.EntryStatus, *r.EventID})
		}
	}
	return rows[0].restore(items[string(id)], entries)
}

func (s *Orders) items(ctx context.Context, ids []string) (map[string][]itemRecord, error) {
	db := s.core.DB.Read
	query := "SELECT order_id, sku, qty, price FROM order_items WHERE " + s.core.DB.Dialect.Among("order_id", "text") + " ORDER BY order_id, line"
	var rows []itemRecord
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), sqldb.Set(s.core.DB.Dialect, ids)); err != nil {
		return nil, fmt.Errorf("read items: %w", sqldb.Classify(err))
	}
	found := make(map[string][]itemRecord, len(ids))
	for _, r := range rows {
		found[r.OrderID] = append(found[r.OrderID], r)
	}
	return found, nil
}

// List reads a page of orders with their items and without their timelines. Those of one user are chosen
// with the help of the read model (orders_of_user.go).
func (s *Orders) List(ctx context.Context, f app.Filter) ([]*order.Order, bool, error) {
	rows, err := s.choose(ctx, f)
	if err != nil {
		return nil, false, fmt.Errorf("list orders: %w", err)
	}
	more := len(rows) > f.Limit
	rows = rows[:min(len(rows), f.Limit)]
	page := make([]*order.Order, len(rows))
	if len(rows) == 0 {
		return page, false, nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	items, err := s.items(ctx, ids)
	if err != nil {
		return nil, false, err
	}
	for i, r := range rows {
		if page[i], err = r.restore(items[r.ID], nil); err != nil {
			return nil, false, err
		}
	}
	return page, more, nil
}
