package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
)

// OpenSagas counts the sagas that have not ended, by step, and among them those that have stood
// in their step for longer than stuckAfter.
func (s *Sagas) OpenSagas(ctx context.Context, stuckAfter time.Duration) (open, stuck map[string]int, err error) {
	var rows []struct {
		Step  string `db:"step"`
		Open  int    `db:"open"`
		Stuck int    `db:"stuck"`
	}
	db := s.core.DB.Read
	query := `SELECT step, count(*) AS open, sum(CASE WHEN entered_at < ` + s.core.DB.Dialect.NowPlus("?") + ` THEN 1 ELSE 0 END) AS stuck
		FROM sagas WHERE step NOT IN ('confirmed', 'failed', 'cancelled') GROUP BY step`
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), -stuckAfter.Microseconds()); err != nil {
		return nil, nil, fmt.Errorf("count sagas: %w", sqldb.Classify(err))
	}
	open, stuck = map[string]int{}, map[string]int{}
	for _, r := range rows {
		open[r.Step], stuck[r.Step] = r.Open, r.Stuck
	}
	return open, stuck, nil
}

// Waiting counts dead letters that nobody has dealt with, by handler.
func (s *DeadLetters) Waiting(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		Handler string `db:"handler"`
		N       int    `db:"n"`
	}
	const query = "SELECT handler, count(*) AS n FROM dead_letters WHERE state = 'waiting' GROUP BY handler"
	if err := s.core.DB.Read.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("count dead letters: %w", sqldb.Classify(err))
	}
	waiting := map[string]int{}
	for _, r := range rows {
		waiting[r.Handler] = r.N
	}
	return waiting, nil
}
