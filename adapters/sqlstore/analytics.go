package sqlstore

import (
	"context"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

var (
	listedRow = insert("orders_by_user",
		"user_id text, order_id text, status text, reason text, currency text, total bigint, placed_at timestamptz", "")
	countedRow = insert("daily_sales_orders", "order_id text, day text, currency text, status text, total bigint", "")
	// salesRow adds the orders of a commit to their days: several of one day are one row of the statement.
	salesRow = &table{
		name: "daily_sales", phase: inserts, derived: true,
		columns: parse("day text, currency text, confirmed bigint, revenue bigint, failed bigint, cancelled bigint"),
		head: `INSERT INTO daily_sales (day, currency, confirmed, revenue, failed, cancelled)
			SELECT v.day, v.currency, sum(v.confirmed), sum(v.revenue), sum(v.failed), sum(v.cancelled) FROM `,
		tail: ` GROUP BY v.day, v.currency ORDER BY v.day, v.currency
			ON CONFLICT (day, currency) DO UPDATE SET confirmed = daily_sales.confirmed + excluded.confirmed,
				revenue = daily_sales.revenue + excluded.revenue, failed = daily_sales.failed + excluded.failed,
				cancelled = daily_sales.cancelled + excluded.cancelled`,
	}
)

var endings = &loader[string, app.Known]{"endings", readEndings}

// Analytics is the state of the read models. It lies in ordering's database: a list is read from the
// model and from the orders beside it at one moment.
type Analytics struct{ core *Core }

// NewAnalytics makes the store.
func NewAnalytics(core *Core) *Analytics { return &Analytics{core} }

// Do runs fn in one transaction; see app/analytics.Work.
func (s *Analytics) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&analyticsTx{u}) }, byOrder[app.Known]{endings})
}

type analyticsTx struct{ *unit }

func (t *analyticsTx) Known(_ context.Context, orderID string) (app.Known, error) {
	found, err := endings.get(t.unit, orderID)
	if err != nil {
		return app.Known{}, err
	}
	known, ok := found[orderID]
	if !ok {
		return app.Known{}, app.ErrNoOrder
	}
	return known, nil
}

func (t *analyticsTx) List(o app.Ended) {
	t.stage(listedRow, o.UserID, o.OrderID, o.Status, o.Reason, o.Currency, o.Total, o.PlacedAt)
	t.recorded(o)
}

func (t *analyticsTx) Count(o app.Ended) {
	t.stage(countedRow, o.OrderID, o.Day(), o.Currency, o.Status, o.Total)
	s := o.Sale()
	t.stage(salesRow, o.Day(), o.Currency, s.Confirmed, s.Revenue, s.Failed, s.Cancelled)
	t.recorded(o)
}

// recorded tells the members behind this one that the order is recorded: one that comes again under
// another message id finds it so. What is recorded is always recorded in both.
func (t *analyticsTx) recorded(o app.Ended) {
	endings.put(t.unit, o.OrderID, app.Known{PlacedAt: o.PlacedAt, Listed: true, Counted: true})
}

// readEndings locks the read models, shared with others who fill them and with who moves the watermark,
// before it looks: whoever exchanges one holds that lock alone, and is waited for, so that nothing is written into a table
// on its way out. SQLite has one writer, which is lock enough.
func readEndings(b *batch, orderIDs []string) reading[string, app.Known] {
	var r reading[string, app.Known]
	if b.core.DB.Dialect == sqldb.Postgres {
		r.statements = []sqldb.Statement{{Query: "SELECT FROM read_models ORDER BY name FOR KEY SHARE"}}
	}
	var rows []struct {
		ID        string    `db:"id"`
		CreatedAt time.Time `db:"created_at"`
		Listed    bool      `db:"listed"`
		Counted   bool      `db:"counted"`
	}
	const query = `SELECT o.id, o.created_at, b.order_id IS NOT NULL AS listed, d.order_id IS NOT NULL AS counted FROM orders o
		LEFT JOIN orders_by_user b ON b.user_id = o.user_id AND b.order_id = o.id
		LEFT JOIN daily_sales_orders d ON d.order_id = o.id WHERE `
	r.statements = append(r.statements, sqldb.Statement{Query: query + b.among("o.id"), Args: []any{b.set(orderIDs)}, Into: &rows})
	r.found = func() map[string]app.Known {
		found := make(map[string]app.Known, len(rows))
		for _, r := range rows {
			found[r.ID] = app.Known{PlacedAt: r.CreatedAt.UTC(), Listed: r.Listed, Counted: r.Counted}
		}
		return found
	}
	return r
}
