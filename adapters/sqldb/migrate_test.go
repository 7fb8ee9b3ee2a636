package sqldb_test

import (
	"errors"
	"net/url"
	"os"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

// A migration that rewrites a table takes longer than any statement of a service may, whose sessions it runs
// in. Here it takes long because somebody else uses the table.
func TestAMigrationOfALargeTableMayTakeItsTime(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	for name, c := range map[string]struct {
		lock string
		at   int64 // its version; the database is brought to the one before it
	}{
		"00014": {"LOCK TABLE saga_journal IN ROW EXCLUSIVE MODE", 14},
		"00015": {"LOCK TABLE orders IN ACCESS SHARE MODE", 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := adaptertest.Postgres(t, dsn, "orders")
			for v, err := sqldb.Status(t.Context(), db, "orders"); v.At >= c.at || err != nil; v, err = sqldb.Status(t.Context(), db, "orders") {
				if err = errors.Join(err, sqldb.MigrateDown(t.Context(), db, "orders")); err != nil {
					t.Fatal(err)
				}
			}
			address, err := url.Parse(db.DSN)
			if err != nil {
				t.Fatal(err)
			}
			limits := address.Query()
			limits.Set("statement_timeout", "1000")
			limits.Set("lock_timeout", "0")
			address.RawQuery = limits.Encode()
			hurried, err := sqldb.OpenPostgresDSN(address.String(), db.Name, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = hurried.Close() }()
			if _, err := hurried.ExecContext(t.Context(), "SELECT pg_sleep(10)"); err == nil {
				t.Fatal("a statement may take longer than a second")
			}
			tx, err := db.BeginTxx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			if _, err := tx.ExecContext(t.Context(), c.lock); err != nil {
				t.Fatal(err)
			}
			migrated := make(chan error, 1)
			go func() { migrated <- sqldb.Migrate(t.Context(), hurried, "orders") }()
			look := time.NewTicker(20 * time.Millisecond)
			defer look.Stop()
			for long := false; !long; {
				select {
				case err := <-migrated:
					t.Fatalf("it ends with %v", err)
				case <-t.Context().Done():
					t.Fatal("it never came to the table")
				case <-look.C:
				}
				const waits = `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
					WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)) AND clock_timestamp() - query_start > interval '1.5 s')`
				if err := tx.GetContext(t.Context(), &long, waits); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := <-migrated; err != nil {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}
