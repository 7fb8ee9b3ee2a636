package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

// oneConnection opens a database with a single connection, and a table.
func oneConnection(t *testing.T) *sqldb.DB {
	t.Helper()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	wide := adaptertest.Postgres(t, dsn, "payments")
	db, err := sqldb.OpenPostgresDSN(wide.DSN, wide.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE things (id integer PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func insert(ids ...int) []sqldb.Statement {
	var all []sqldb.Statement
	for _, id := range ids {
		all = append(all, sqldb.Statement{Query: "INSERT INTO things VALUES (?)", Args: []any{id}})
	}
	return all
}

// backend is the process at the other end of the connection.
func backend(t *testing.T, db *sqldb.DB) (pid int) {
	t.Helper()
	if err := db.GetContext(t.Context(), &pid, "SELECT pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	return pid
}

func things(t *testing.T, db *sqldb.DB) []int {
	t.Helper()
	found := []int{}
	if err := db.SelectContext(t.Context(), &found, "SELECT id FROM things ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestATransactionThatEndsBadlyLeavesNothingAndItsConnectionUsable(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, fn := range map[string]func(context.Context, *sqldb.Tx) error{
		"an error of its own": func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Batch(ctx, insert(1))
			return errors.Join(err, refused)
		},
		"a statement that fails": func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Batch(ctx, insert(1, 2, 1, 3))
			return err
		},
		"a statement that fails, of which it says nothing": func(ctx context.Context, tx *sqldb.Tx) error {
			_, _ = tx.Batch(ctx, insert(1, 1))
			return nil
		},
		"a statement that cannot be read, first of all": func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
			return err
		},
		"one that cannot be read, of which it says nothing, and others": func(ctx context.Context, tx *sqldb.Tx) error {
			_, _ = tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
			_, _ = tx.Batch(ctx, insert(1))
			return nil
		},
		"no time": func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Batch(ctx, insert(1)); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(ctx, "SELECT pg_sleep(5)")
			return err
		},
		"a connection that is lost": func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Batch(ctx, append(insert(1), sqldb.Statement{Query: "SELECT pg_terminate_backend(pg_backend_pid())"}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := oneConnection(t)
			before := backend(t, db)
			if err := db.InBatchTx(t.Context(), func(tx *sqldb.Tx) error { return fn(t.Context(), tx) }); err == nil {
				t.Error("it was said to be committed")
			}
			if lost := name == "no time" || name == "a connection that is lost"; !lost && backend(t, db) != before {
				t.Error("it cost its connection")
			}
			if left := things(t, db); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
			err := db.InBatchTx(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Batch(t.Context(), insert(7))
				return err
			})
			if left := things(t, db); err != nil || len(left) != 1 || left[0] != 7 {
				t.Errorf("the next transaction gave %v and left %v", err, left)
			}
		})
	}
}

// A transaction is over with its first failure, whatever its function makes of it.
func TestAFailureThatIsKeptQuietIsNotCommitted(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE things (id integer PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		err := db.InBatchTx(t.Context(), func(tx *sqldb.Tx) error {
			_, _ = tx.Batch(t.Context(), insert(1))
			_, _ = tx.Batch(t.Context(), insert(2, 1))
			if _, err := tx.Batch(t.Context(), insert(3)); err == nil {
				t.Error("it went on after a failure")
			}
			return nil
		})
		if left := things(t, db); err == nil || len(left) > 0 {
			t.Errorf("it ended with %v and left %v", err, left)
		}
	})
}

func TestAPanicInATransactionLeavesNothingAndItsConnectionUsable(t *testing.T) {
	t.Parallel()
	db := oneConnection(t)
	func() {
		defer func() { _ = recover() }()
		_ = db.InBatchTx(t.Context(), func(tx *sqldb.Tx) error {
			_, _ = tx.Batch(t.Context(), insert(1))
			panic("broken")
		})
		t.Error("the panic did not come through")
	}()
	if left := things(t, db); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestABatchTellsWhatEachStatementDidAndFound(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE things (id integer PRIMARY KEY, name text)"); err != nil {
			t.Fatal(err)
		}
		type thing struct {
			ID   int     `db:"id"`
			Name *string `db:"name"`
		}
		all, ids := []thing{{ID: 9}}, []int{9} // they are replaced
		var names []sql.NullString
		err := db.InBatchTx(t.Context(), func(tx *sqldb.Tx) error {
			results, err := tx.Batch(t.Context(), []sqldb.Statement{
				{Query: "INSERT INTO things VALUES (1, 'one'), (2, NULL)"},
				{Query: "UPDATE things SET name = ? WHERE id = ? RETURNING name", Args: []any{"two", 2}, Returns: true},
				{Query: "DELETE FROM things WHERE id = 3"},
				{Query: "INSERT INTO things VALUES (4, NULL)"},
				{Query: "SELECT id, name FROM things ORDER BY id", Into: &all},
				{Query: "SELECT id FROM things WHERE id > ? ORDER BY id", Args: []any{1}, Into: &ids},
				{Query: "SELECT name FROM things ORDER BY id", Into: &names},
			})
			if err != nil {
				return err
			}
			if results[0].Changed != 2 || results[1].Returned[0][0] != "two" || results[2].Changed != 0 {
				t.Errorf("the results are %+v", results)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 3 || *all[1].Name != "two" || all[2] != (thing{ID: 4}) {
			t.Errorf("the rows are %+v", all)
		}
		if len(ids) != 2 || ids[0] != 2 || ids[1] != 4 {
			t.Errorf("the single values are %v", ids)
		}
		if len(names) != 3 || names[0].String != "one" || names[2].Valid {
			t.Errorf("the names are %v", names)
		}
	})
}
