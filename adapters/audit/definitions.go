package audit

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/audit"
)

// Definitions counts the sagas of every version that one has, the oldest version first.
func (s *Sagas) Definitions(ctx context.Context) ([]audit.Definition, error) {
	tx, err := open(ctx, s.db) // one snapshot: sagas may be moving
	if err != nil {
		return nil, err
	}
	defer tx.close()
	const ended = "s.step IN ('confirmed', 'failed', 'cancelled')"
	found, err := rows[struct {
		Version int `db:"definition"`
		Open    int `db:"n_open"`
		Ended   int `db:"n_ended"`
	}](tx, "SELECT s.definition, sum(CASE WHEN "+ended+" THEN 0 ELSE 1 END) AS n_open, sum(CASE WHEN "+ended+
		" THEN 1 ELSE 0 END) AS n_ended FROM sagas s GROUP BY s.definition ORDER BY s.definition")
	if err != nil {
		return nil, fmt.Errorf("count definitions: %w", sqldb.Classify(err))
	}
	all := make([]audit.Definition, len(found))
	for i, f := range found {
		all[i] = audit.Definition{Version: f.Version, Open: f.Open, Ended: f.Ended}
		oldest, err := rows[struct {
			At time.Time `db:"created_at"`
		}](tx, "SELECT o.created_at FROM sagas s JOIN orders o ON o.id = s.order_id WHERE s.definition = ? AND NOT "+ended+
			" ORDER BY o.created_at LIMIT 1", f.Version)
		if err != nil {
			return nil, fmt.Errorf("count definitions: %w", sqldb.Classify(err))
		}
		if len(oldest) == 1 {
			all[i].Oldest = oldest[0].At.UTC()
		}
	}
	return all, nil
}
