package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"millrace/adapters/sqldb"
	saga "millrace/sagas/order"
)

// Stranded counts, by version, the sagas that are open and whose definition this build has no code
// for: under it nobody can go on with them.
func (s *Sagas) Stranded(ctx context.Context) (map[int]int, error) {
	var rows []struct {
		Version int `db:"definition"`
		N       int `db:"n"`
	}
	var versions []any
	for _, v := range saga.Versions() {
		versions = append(versions, v)
	}
	db := s.core.DB.Read
	query := `SELECT definition, count(*) AS n FROM sagas WHERE step NOT IN ('confirmed', 'failed', 'cancelled')
		AND definition NOT IN (?` + strings.Repeat(", ?", len(versions)-1) + ") GROUP BY definition"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), versions...); err != nil {
		return nil, fmt.Errorf("count sagas without code: %w", sqldb.Classify(err))
	}
	found := map[int]int{}
	for _, r := range rows {
		found[r.Version] = r.N
	}
	return found, nil
}
