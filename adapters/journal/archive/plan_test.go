package archive

import (
	"fmt"
	"strings"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

// A retention that read the whole journal to find what may go would hold everybody up while it does.
func TestOldJournalsAreFoundAndTakenAwayByIndex(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		for query, args := range map[string][]any{dueQuery(db.Dialect): {0, "", 0, 0, 1}, takeAway: {"f"}} {
			if db.Dialect == sqldb.Postgres && len(args) > 1 {
				args[0] = "2026-01-02T15:04:05Z"
			}
			plan := planOf(t, db, query, args...)
			if strings.Contains(plan, "SCAN j") || strings.Contains(plan, "SCAN saga_journal") || strings.Contains(plan, "Seq Scan on saga_journal") {
				t.Errorf("the journal is read as a whole:\n%s", plan)
			}
			if strings.Contains(query, "seq = 1") && !strings.Contains(plan, "saga_journal_begun") {
				t.Errorf("old journals are not found by their index:\n%s", plan)
			}
		}
	})
}

// planOf is how the database would run a query.
func planOf(t *testing.T, db *sqldb.DB, query string, args ...any) string {
	t.Helper()
	explain, columns := "EXPLAIN QUERY PLAN ", 4
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if db.Dialect == sqldb.Postgres {
		explain, columns = "EXPLAIN ", 1
		if _, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil { // as services have it
			t.Fatal(err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), tx.Rebind(explain+query), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		line, into := make([]string, columns), make([]any, columns)
		for i := range line {
			into[i] = &line[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, line[columns-1])
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
