package projections

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

// Reader reads read models. The database may be open for reading only.
type Reader struct{ db *sqldb.DB }

// NewReader makes the reader.
func NewReader(ordering *sqldb.DB) *Reader { return &Reader{ordering} }

// behind counts the orders that have ended, which have an index, and are not in a table.
func behind(t table) string {
	return "SELECT count(*) FROM orders o WHERE o.ended IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + t.name + " s WHERE " + t.ofOrder() + ")"
}

// Status tells of every read model how much is in it and how much is not yet.
func (r *Reader) Status(ctx context.Context) ([]app.Status, error) {
	all := make([]app.Status, 0, len(app.Models))
	for _, name := range app.Models {
		t := models[name].tables[0]
		var row struct {
			Orders     int        `db:"orders"`
			Behind     int        `db:"behind"`
			Generation int        `db:"generation"`
			RebuiltAt  *time.Time `db:"rebuilt_at"`
		}
		query := r.db.Rebind("SELECT (SELECT count(*) FROM " + t.name + ") AS orders, (" + behind(t) + ") AS behind, generation, rebuilt_at FROM read_models WHERE name = ?")
		err := r.db.Read.GetContext(ctx, &row, query, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, sqldb.Classify(err))
		}
		s := app.Status{Model: name, Orders: row.Orders, Behind: row.Behind, Generation: row.Generation}
		if row.RebuiltAt != nil {
			at := row.RebuiltAt.UTC()
			s.RebuiltAt = &at
		}
		all = append(all, s)
	}
	return all, nil
}

// Sales gives the days from a day on, such as "2026-01-31", the newest first; "" for all.
func (r *Reader) Sales(ctx context.Context, since string) ([]app.SalesDay, error) {
	days := []app.SalesDay{}
	const query = "SELECT day, currency, confirmed, revenue, failed, cancelled FROM daily_sales WHERE day >= ? ORDER BY day DESC, currency"
	if err := r.db.Read.SelectContext(ctx, &days, r.db.Rebind(query), since); err != nil {
		return nil, fmt.Errorf("read %s: %w", app.DailySales, sqldb.Classify(err))
	}
	return days, nil
}
