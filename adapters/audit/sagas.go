package audit

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
)

// Sagas reads sagas and their journals.
type Sagas struct {
	db         *sqldb.DB
	stuckAfter time.Duration
	now        func() time.Time
}

// NewSagas makes the reader of ordering's database, which may be open for reading only. A saga
// that is open and has stood in its step for longer than stuckAfter (0 for two minutes) is stuck.
func NewSagas(ordering *sqldb.DB, stuckAfter time.Duration, now func() time.Time) *Sagas {
	return &Sagas{ordering, cmp.Or(stuckAfter, 2*time.Minute), now}
}

// sagaRow is a saga beside its order. Times of a saga that has not begun are null.
type sagaRow struct {
	OrderID    string         `db:"id"`
	UserID     string         `db:"user_id"`
	Status     string         `db:"status"`
	Reason     string         `db:"reason"`
	Currency   string         `db:"currency"`
	Total      int64          `db:"total"`
	PlacedAt   time.Time      `db:"created_at"`
	Step       sql.NullString `db:"step"`
	Definition sql.NullInt64  `db:"definition"`
	Version    sql.NullInt64  `db:"version"`
	EnteredAt  sql.NullTime   `db:"entered_at"`
}

const (
	sagaColumns = `SELECT o.id, o.user_id, o.status, o.reason, o.currency, o.total, o.created_at,
		s.step, s.definition, s.version, s.entered_at`
	sagaTables = " FROM orders o LEFT JOIN sagas s ON s.order_id = o.id"
)

// List gives the sagas that a query chooses, the newest first.
func (s *Sagas) List(ctx context.Context, q audit.Query) (audit.Sagas, error) {
	where, args := journal.Where(q, s.now().UTC(), s.stuckAfter)
	db := s.db.Read
	var counts []struct {
		State string `db:"state"`
		N     int    `db:"n"`
	}
	query := "SELECT coalesce(s.step, 'new') AS state, count(*) AS n" + sagaTables + where + " GROUP BY coalesce(s.step, 'new')"
	if err := db.SelectContext(ctx, &counts, db.Rebind(query), args...); err != nil {
		return audit.Sagas{}, fmt.Errorf("count sagas: %w", sqldb.Classify(err))
	}
	answer := audit.Sagas{Items: []audit.Saga{}, States: map[string]int{}}
	for _, c := range counts {
		answer.States[c.State] = c.N
		answer.Total += c.N
	}
	query = sagaColumns + sagaTables + where + " ORDER BY o.id DESC"
	if q.Limit > 0 {
		query, args = query+" LIMIT ?", append(args, q.Limit)
	}
	var found []sagaRow
	if err := db.SelectContext(ctx, &found, db.Rebind(query), args...); err != nil {
		return audit.Sagas{}, fmt.Errorf("list sagas: %w", sqldb.Classify(err))
	}
	for _, row := range found {
		answer.Items = append(answer.Items, s.saga(row))
	}
	return answer, nil
}

func (s *Sagas) saga(r sagaRow) audit.Saga {
	one := audit.Saga{
		OrderID: r.OrderID, UserID: r.UserID, Status: r.Status, State: "new", Reason: r.Reason, Currency: r.Currency, Total: r.Total,
		Definition: int(r.Definition.Int64), Version: int(r.Version.Int64), PlacedAt: r.PlacedAt.UTC(), EnteredAt: r.PlacedAt.UTC(),
	}
	if r.Step.Valid {
		one.State, one.EnteredAt = r.Step.String, r.EnteredAt.Time.UTC()
	}
	ended := one.State == "confirmed" || one.State == "failed" || one.State == "cancelled"
	one.Stuck = !ended && one.EnteredAt.Before(s.now().Add(-s.stuckAfter))
	return one
}
