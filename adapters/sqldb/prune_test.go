package sqldb_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"millrace/adapters/sqldb"
)

func TestPruningTakesAwayAllThereIsPieceByPieceAndCanBeStopped(t *testing.T) {
	t.Parallel()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "heap.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(t.Context(), `CREATE TABLE heap (n INTEGER PRIMARY KEY);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO heap SELECT i FROM n`)
	must(t, err)
	const query = "DELETE FROM heap WHERE n IN (SELECT n FROM heap WHERE n <= ? LIMIT ?)"

	ctx, stop := context.WithCancel(t.Context())
	stop()
	if n, err := db.Prune(ctx, query, 7, 95); !errors.Is(err, context.Canceled) || n > 7 {
		t.Errorf("stopped at once it took %d away: %v", n, err)
	}
	n, err := db.Prune(t.Context(), query, 7, 95)
	must(t, err)
	var left int
	must(t, db.GetContext(t.Context(), &left, "SELECT count(*) FROM heap"))
	if n != 95 || left != 5 {
		t.Errorf("it took %d away and left %d, want 95 and 5", n, left)
	}
}
