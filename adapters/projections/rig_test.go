package projections_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/outbox"
	"millrace/adapters/projections"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/analytics"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	"millrace/domain/order"
	"millrace/sagas/engine"
)

type quiet struct{}

func (quiet) Duplicate(string)                                          {}
func (quiet) CommitBatch(int)                                           {}
func (quiet) Parked(string)                                             {}
func (quiet) OrderCompleted(string, string, time.Duration)              {}
func (quiet) Get(context.Context, orderapp.Key) (*orderapp.Reply, bool) { return nil, false }
func (quiet) Put(context.Context, orderapp.Reply)                       {}

// shop is ordering on a real database, with the subscriber that fills the read models beside it. What the
// other services say, and when a message arrives, is the test's.
type shop struct {
	db         *sqldb.DB
	orders     *sqlstore.Orders
	readModels *sqlstore.Analytics // of which the clock is ahead: no order is too young for the watermark
	place      *orderapp.PlaceOrder
	engine     *engine.Engine
	record     *analytics.RecordEnd
	n          atomic.Int64
}

func newShop(t *testing.T, db *sqldb.DB) *shop {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	now := time.Now
	core := func() *sqlstore.Core {
		return sqlstore.NewCore(sqlstore.Config{
			DB: db, Service: "test", Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: quiet{},
			Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: now,
		})
	}
	s := &shop{db: db}
	ordering := core()
	orders := sqlstore.NewOrders(ordering)
	if err := orders.Seed(t.Context(), []orderapp.Product{{SKU: "SKU-1", Name: "One", Price: 1200, Currency: "LKR"}}); err != nil {
		t.Fatal(err)
	}
	s.orders = orders
	s.place = orderapp.NewPlaceOrder(orders, sqlstore.NewCatalog(ordering), quiet{}, sqlstore.NewOrderIDs(), time.Now)
	s.engine = engine.New(sqlstore.NewSagas(core()), engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, quiet{}, "test", time.Now)
	s.record = analytics.NewRecordEnd(sqlstore.NewAnalytics(core()))
	now = func() time.Time { return time.Now().Add(time.Hour) }
	s.readModels = sqlstore.NewAnalytics(core())
	return s
}

// order places an order; nobody has heard of it.
func (s *shop) order(t *testing.T) string {
	t.Helper()
	user := fmt.Sprintf("usr_%03d", s.n.Add(1)%7)
	answer, err := s.place.Handle(t.Context(), orderapp.Request{
		UserID: user, Currency: "LKR", PaymentMethod: "pm_card_ok", Items: []orderapp.Wish{{SKU: "SKU-1", Qty: int(s.n.Load()%9) + 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.OrderID
}

// hears takes messages to the saga of an order.
func (s *shop) hears(t *testing.T, id string, all ...messages.Message) {
	t.Helper()
	for _, m := range all {
		spec, _ := messages.SpecOf(m.Name())
		ctx := messages.WithCause(t.Context(), messages.Cause{
			Consumer: "orchestrator." + spec.Topic, MessageID: messages.DerivedID(id, m.Name(), 0), CorrelationID: id, Type: m.Name(), Topic: spec.Topic,
		})
		if err := s.engine.Handle(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *shop) created(t *testing.T, id string) *messages.OrderCreated {
	t.Helper()
	var rows []struct {
		UserID string `db:"user_id"`
		Total  int64  `db:"total"`
	}
	if err := s.db.Read.SelectContext(t.Context(), &rows, s.db.Rebind("SELECT user_id, total FROM orders WHERE id = ?"), id); err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	return &messages.OrderCreated{OrderID: id, UserID: rows[0].UserID, Currency: "LKR", Total: rows[0].Total}
}

// ended places an order and lets it end; the subscriber has not heard of it.
func (s *shop) ended(t *testing.T, status order.Status) string {
	t.Helper()
	id := s.order(t)
	s.end(t, id, status)
	return id
}

func (s *shop) end(t *testing.T, id string, status order.Status) {
	t.Helper()
	s.hears(t, id, s.created(t, id))
	switch status {
	case order.Confirmed:
		s.hears(t, id, &messages.PaymentSucceeded{OrderID: id}, &messages.InventoryReserved{OrderID: id})
	case order.Cancelled:
		s.hears(t, id, &messages.OrderCancelRequested{OrderID: id}, &messages.InventoryReleased{OrderID: id}, &messages.PaymentRefunded{OrderID: id})
	default:
		s.hears(t, id, &messages.PaymentFailed{OrderID: id, Reason: messages.ReasonPaymentDeclined})
	}
}

// recorded lets the subscriber hear of an order's end: the message as it lies in the outbox.
func (s *shop) recorded(ctx context.Context, id string) error {
	var rows []struct {
		ID      string `db:"id"`
		Payload []byte `db:"payload"`
	}
	err := s.db.Read.SelectContext(ctx, &rows, s.db.Rebind("SELECT id, payload FROM outbox WHERE aggregate_id = ? AND event_type = 'OrderCompleted'"), id)
	if err != nil || len(rows) != 1 {
		return fmt.Errorf("%s has %d ends: %w", id, len(rows), err)
	}
	envelope, err := messages.Open(rows[0].Payload)
	if err != nil {
		return err
	}
	m, err := envelope.Message()
	if err != nil {
		return err
	}
	completed, ok := m.(*messages.OrderCompleted)
	if !ok {
		return fmt.Errorf("%s ended with %T", id, m)
	}
	return s.record.Handle(messages.WithCause(ctx, messages.Cause{
		Consumer: "order-service.order.events", MessageID: rows[0].ID, CorrelationID: id, Type: "OrderCompleted", Topic: messages.OrderEvents,
	}), completed)
}

// history is a shop with some of everything: orders of every end that were recorded, and one under way.
func (s *shop) history(t *testing.T) {
	t.Helper()
	for _, status := range []order.Status{order.Confirmed, order.Failed, order.Cancelled, order.Confirmed, order.Confirmed} {
		if err := s.recorded(t.Context(), s.ended(t, status)); err != nil {
			t.Fatal(err)
		}
	}
	s.hears(t, s.order(t))
	under := s.order(t)
	s.hears(t, under, s.created(t, under))
}

// rows gives all that a query finds, a line each.
func (s *shop) rows(t *testing.T, query string) string {
	t.Helper()
	found, err := s.db.Read.QueryxContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	var all strings.Builder
	for found.Next() {
		row, err := found.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range row {
			switch v := v.(type) {
			case time.Time:
				row[i] = v.UTC().Format(time.RFC3339Nano)
			case []byte:
				row[i] = string(v)
			}
		}
		fmt.Fprintln(&all, row...)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// model is everything in a read model.
func (s *shop) model(t *testing.T, name string) string {
	t.Helper()
	if name == analytics.OrdersByUser {
		return s.rows(t, "SELECT * FROM orders_by_user ORDER BY user_id, order_id")
	}
	return s.rows(t, "SELECT * FROM daily_sales_orders ORDER BY order_id") + s.rows(t, "SELECT * FROM daily_sales ORDER BY day, currency")
}

// truth is what has to be in it: the orders that have ended, as they are written.
func (s *shop) truth(t *testing.T, name string) string {
	t.Helper()
	day := "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
	if s.db.Dialect == sqldb.SQLite {
		day = "date(created_at / 1000000, 'unixepoch')"
	}
	const ended = " FROM orders WHERE status IN ('CONFIRMED', 'FAILED', 'CANCELLED')"
	if name == analytics.OrdersByUser {
		return s.rows(t, "SELECT user_id, id, status, reason, currency, total, created_at"+ended+" ORDER BY user_id, id")
	}
	return s.rows(t, "SELECT id, "+day+", currency, status, total"+ended+" ORDER BY id") +
		s.rows(t, "SELECT "+day+", currency, count(CASE status WHEN 'CONFIRMED' THEN 1 END), CAST(sum(CASE status WHEN 'CONFIRMED' THEN total ELSE 0 END) AS BIGINT), "+
			"count(CASE status WHEN 'FAILED' THEN 1 END), count(CASE status WHEN 'CANCELLED' THEN 1 END)"+ended+" GROUP BY 1, 2 ORDER BY 1, 2")
}

// right checks that a read model is what it has to be.
func (s *shop) right(t *testing.T, name string) {
	t.Helper()
	if got, want := s.model(t, name), s.truth(t, name); got != want {
		t.Errorf("%s is\n%s\nand has to be\n%s", name, got, want)
	}
}

func (s *shop) rebuild(ctx context.Context, name string, change ...func(*projections.Config)) (analytics.Rebuilt, error) {
	c := projections.Config{DB: s.db, Now: time.Now, Patience: 50 * time.Millisecond}
	for _, f := range change {
		f(&c)
	}
	return projections.Rebuild(ctx, name, c)
}

func (s *shop) mustRebuild(t *testing.T, name string, change ...func(*projections.Config)) analytics.Rebuilt {
	t.Helper()
	report, err := s.rebuild(t.Context(), name, change...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (s *shop) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
