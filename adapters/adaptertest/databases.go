// Package adaptertest holds the contracts of our adapters: suites of promises that every
// implementation is run against. An adapter is finished when it passes. Only tests import it.
package adaptertest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/adapters/sqldb"
)

// EachDatabase runs a suite against every database that this machine has: SQLite always,
// PostgreSQL where TEST_POSTGRES_DSN says where it is.
func EachDatabase(t *testing.T, schema string, suite func(t *testing.T, open func(t *testing.T) *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		suite(t, func(t *testing.T) *sqldb.DB { return SQLite(t, schema) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := os.Getenv("TEST_POSTGRES_DSN")
		if dsn == "" {
			t.Skip("TEST_POSTGRES_DSN is not set")
		}
		suite(t, func(t *testing.T) *sqldb.DB { return Postgres(t, dsn, schema) })
	})
}

// SQLite makes an empty, migrated file that goes with the test.
func SQLite(t testing.TB, schema string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), schema+".db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	migrate(t, db, schema)
	return db
}

// Postgres makes an empty, migrated schema of a name of its own that goes with the test.
func Postgres(t testing.TB, dsn, schema string) *sqldb.DB {
	t.Helper()
	name := schema + "_" + strings.ToLower(rand.Text()[:12])
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("TEST_POSTGRES_DSN: %v", err)
	}
	query := address.Query()
	query.Set("search_path", name)
	query.Set("lock_timeout", "2000")
	address.RawQuery = query.Encode()
	db, err := sqldb.OpenPostgresDSN(address.String(), name, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = db.ExecContext(context.Background(), `DROP SCHEMA "`+name+`" CASCADE`)
		_ = db.Close()
	})
	migrate(t, db, schema)
	return db
}

func migrate(t testing.TB, db *sqldb.DB, schema string) {
	t.Helper()
	if err := sqldb.Migrate(t.Context(), db, schema); err != nil {
		t.Fatal(err)
	}
	if err := sqldb.Check(t.Context(), db, schema); err != nil {
		t.Fatal(err)
	}
}
