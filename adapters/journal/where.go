package journal

import (
	"strings"
	"time"

	"millrace/app/audit"
)

// openSaga are sagas that have not ended.
const openSaga = "coalesce(s.step, 'new') NOT IN ('confirmed', 'failed', 'cancelled')"

// Where says a query in SQL, for a SELECT from orders o with sagas s beside them: a WHERE clause
// with its parameters, or nothing when the query chooses all. A saga is stuck when it is open and
// has stood in its step for longer than stuckAfter.
func Where(q audit.Query, now time.Time, stuckAfter time.Duration) (string, []any) {
	var conditions []string
	var args []any
	must := func(given bool, condition string, values ...any) {
		if given {
			conditions = append(conditions, condition)
			args = append(args, values...)
		}
	}
	const entered = "coalesce(s.entered_at, o.created_at)"
	ids := make([]any, len(q.Orders))
	for i, id := range q.Orders {
		ids[i] = id
	}
	must(len(ids) > 0, "o.id IN (?"+strings.Repeat(", ?", max(0, len(ids)-1))+")", ids...)
	must(q.Status != "", "o.status = ?", q.Status)
	must(q.State != "", "coalesce(s.step, 'new') = ?", q.State)
	must(q.Reason != "", "o.reason = ?", q.Reason)
	must(q.User != "", "o.user_id = ?", q.User)
	must(q.SKU != "", "EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = o.id AND i.sku = ?)", q.SKU)
	must(q.Version != 0, "s.definition = ?", q.Version)
	must(!q.Since.IsZero(), "o.created_at >= ?", q.Since.UTC())
	must(!q.Until.IsZero(), "o.created_at < ?", q.Until.UTC())
	must(!q.Moved.IsZero(), "s.updated_at >= ?", q.Moved.UTC())
	must(q.Older != 0, entered+" <= ?", now.Add(-q.Older))
	must(q.Stuck, entered+" < ? AND "+openSaga, now.Add(-stuckAfter))
	if len(conditions) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}
