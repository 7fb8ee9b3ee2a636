package sqlstore

import (
	"context"
	"fmt"

	"millrace/adapters/sqldb"
	app "millrace/app/order"
	"millrace/domain/order"
)

// timelinesSince is one look into the timelines' key for each order, and at the order only where there is something
// behind the entry that is known. One statement sees one moment. The joins are in this order for SQLite, which keeps to
// it where they are called CROSS.
const timelinesSince = `SELECT l.order_id, o.status AS order_status, o.reason, l.seq, l.at, l.event, l.status, l.event_id
	FROM %s CROSS JOIN order_timeline l CROSS JOIN orders o
	WHERE l.order_id = %s AND l.seq > %s AND o.id = l.order_id
	ORDER BY l.order_id, l.seq`

// Since reads what was added to timelines; see app/order.Timelines.
func (s *Orders) Since(ctx context.Context, seen map[order.ID]int) ([]app.Progress, error) {
	var rows []struct {
		OrderID     string `db:"order_id"`
		OrderStatus string `db:"order_status"`
		Reason      string `db:"reason"`
		entryRecord
	}
	query, args := s.since(seen)
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), args...); err != nil {
		return nil, fmt.Errorf("read what was added to timelines: %w", sqldb.Classify(err))
	}
	var moved []app.Progress
	for i, r := range rows {
		entry, err := r.restore()
		if err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", r.OrderID, err)
		}
		if i == 0 || rows[i-1].OrderID != r.OrderID {
			status, err := order.ParseStatus(r.OrderStatus)
			if err != nil {
				return nil, fmt.Errorf("order %s: %w", r.OrderID, err)
			}
			moved = append(moved, app.Progress{ID: order.ID(r.OrderID), Status: status, Reason: r.Reason})
		}
		last := &moved[len(moved)-1]
		last.Entries = append(last.Entries, entry)
	}
	return moved, nil
}

// since gives the statement for any number of orders, always with the same text.
func (s *Orders) since(seen map[order.ID]int) (query string, args []any) {
	if s.core.DB.Dialect == sqldb.SQLite {
		return fmt.Sprintf(timelinesSince, "json_each(?) w", "w.key", "w.value"), []any{jsonText(seen)}
	}
	ids, seqs := make([]string, 0, len(seen)), make([]int32, 0, len(seen))
	for id, seq := range seen {
		ids, seqs = append(ids, string(id)), append(seqs, int32(seq))
	}
	return fmt.Sprintf(timelinesSince, "unnest(?::text[], ?::integer[]) w (id, seq)", "w.id", "w.seq"), []any{ids, seqs}
}
