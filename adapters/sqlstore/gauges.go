package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
)

// openSagas reads sagas that have not ended, by their index.
func openSagas(d sqldb.Dialect) string {
	return `SELECT step, count(*) AS open, sum(CASE WHEN entered_at < ` + d.NowPlus("?") + ` THEN 1 ELSE 0 END) AS stuck
		FROM sagas WHERE NOT ended GROUP BY step`
}

// OpenSagas counts the sagas that have not ended, by step, and among them those that have stood
// in their step for longer than stuckAfter.
func (s *Sagas) OpenSagas(ctx context.Context, stuckAfter time.Duration) (open, stuck map[string]int, err error) {
	var rows []struct {
		Step  string `db:"step"`
		Open  int    `db:"open"`
		Stuck int    `db:"stuck"`
	}
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(openSagas(s.core.DB.Dialect)), -stuckAfter.Microseconds()); err != nil {
		return nil, nil, fmt.Errorf("count sagas: %w", sqldb.Classify(err))
	}
	open, stuck = map[string]int{}, map[string]int{}
	for _, r := range rows {
		open[r.Step], stuck[r.Step] = r.Open, r.Stuck
	}
	return open, stuck, nil
}

// Waiting counts, by handler, the dead letters that a person has to deal with, refused acts among
// them, and the messages that are parked behind them. It counts those of the core's own service:
// two services may share a database.
func (s *DeadLetters) Waiting(ctx context.Context) (waiting, parked map[string]int, err error) {
	var rows []struct {
		Handler string `db:"handler"`
		State   string `db:"state"`
		N       int    `db:"n"`
	}
	db := s.core.DB.Read
	query := "SELECT handler, state, count(*) AS n FROM dead_letters WHERE " + open + " AND service = ? GROUP BY handler, state"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), s.core.Service); err != nil {
		return nil, nil, fmt.Errorf("count dead letters: %w", sqldb.Classify(err))
	}
	waiting, parked = map[string]int{}, map[string]int{}
	for _, r := range rows {
		switch r.State {
		case "waiting":
			waiting[r.Handler] = r.N
		case "parked":
			parked[r.Handler] = r.N
		}
	}
	return waiting, parked, nil
}
