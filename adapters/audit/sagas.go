package audit

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
)

// Sagas reads sagas and their journals.
type Sagas struct {
	db         *sqldb.DB
	others     []*sqldb.DB
	stuckAfter time.Duration
	now        func() time.Time
}

// NewSagas makes the reader of ordering's database, which may be open for reading only. A saga
// that is open and has stood in its step for longer than stuckAfter (0 for two minutes) is stuck.
func NewSagas(ordering *sqldb.DB, stuckAfter time.Duration, now func() time.Time) *Sagas {
	return &Sagas{db: ordering, stuckAfter: cmp.Or(stuckAfter, 2*time.Minute), now: now}
}

// Beside names the databases of the participants, where dead letters of an order may lie too. It gives s.
func (s *Sagas) Beside(participants ...*sqldb.DB) *Sagas {
	s.others = participants
	return s
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
	answer, err := s.count(ctx, where, args)
	if err != nil {
		return audit.Sagas{}, err
	}
	query := sagaColumns + sagaTables + where + " ORDER BY o.id DESC"
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

// count counts all that a condition chooses, in every way in which it is shown.
func (s *Sagas) count(ctx context.Context, where string, args []any) (audit.Sagas, error) {
	answer := audit.Sagas{Items: []audit.Saga{}, States: map[string]int{}, Reasons: map[string]int{}, Versions: map[int]int{}}
	stuck, since := journal.Where(audit.Query{Stuck: true}, s.now().UTC(), s.stuckAfter)
	var counts []struct {
		State   string `db:"state"`
		Reason  string `db:"reason"`
		Version int    `db:"definition"`
		N       int    `db:"n"`
		Stuck   int    `db:"stuck"`
	}
	query := "SELECT coalesce(s.step, 'new') AS state, o.reason, coalesce(s.definition, 0) AS definition, count(*) AS n," +
		" sum(CASE WHEN " + strings.TrimPrefix(stuck, " WHERE ") + " THEN 1 ELSE 0 END) AS stuck" +
		sagaTables + where + " GROUP BY 1, 2, 3"
	if err := s.db.Read.SelectContext(ctx, &counts, s.db.Read.Rebind(query), append(since, args...)...); err != nil {
		return answer, fmt.Errorf("count sagas: %w", sqldb.Classify(err))
	}
	for _, c := range counts {
		answer.Total += c.N
		answer.Stuck += c.Stuck
		answer.States[c.State] += c.N
		if c.Reason != "" {
			answer.Reasons[c.Reason] += c.N
		}
		if c.Version != 0 {
			answer.Versions[c.Version] += c.N
		}
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
