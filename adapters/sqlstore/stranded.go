package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"millrace/adapters/sqldb"
	saga "millrace/sagas/order"
)

// strandedQuery reads open sagas alone, by their index.
func strandedQuery(versions int) string {
	return `SELECT definition, count(*) AS n FROM sagas WHERE NOT ended
		AND definition NOT IN (?` + strings.Repeat(", ?", versions-1) + ") GROUP BY definition"
}

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
	if err := db.SelectContext(ctx, &rows, db.Rebind(strandedQuery(len(versions))), versions...); err != nil {
		return nil, fmt.Errorf("count sagas without code: %w", sqldb.Classify(err))
	}
	found := map[int]int{}
	for _, r := range rows {
		found[r.Version] = r.N
	}
	return found, nil
}
