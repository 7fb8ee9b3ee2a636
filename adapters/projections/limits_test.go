package projections

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

// The limits of a service's sessions are made for short transactions; the first look over all orders, and
// the exchange while it reads histories, may take longer.
func TestLongTransactionsHaveNoTimeLimit(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	schema := adaptertest.Postgres(t, dsn, "orders")
	db, err := sqldb.OpenPostgresDSN(schema.DSN+"&statement_timeout=30000&idle_in_transaction_session_timeout=60000", schema.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = snapshot(t.Context(), db, func(ctx context.Context, tx *sqlx.Tx) error {
		for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
			var limit string
			if err := tx.GetContext(ctx, &limit, "SELECT current_setting($1)", name); err != nil || limit != "0" {
				t.Errorf("%s is %q, %v", name, limit, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatHasEndedAndIsNotInAModelIsCountedByIndex(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		explain := "EXPLAIN QUERY PLAN "
		if db.Dialect == sqldb.Postgres {
			explain = "EXPLAIN "
		}
		for _, m := range models {
			var plan strings.Builder
			err := db.InTx(t.Context(), func(tx *sqlx.Tx) error {
				if db.Dialect == sqldb.Postgres {
					if _, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil { // an empty table is read as a whole otherwise
						return err
					}
				}
				return each(t.Context(), tx, explain+behind(m.tables[0]), func(row []any) { plan.WriteString(text(row) + "\n") })
			})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(plan.String(), "orders_ended") {
				t.Errorf("%s: they are not found by their index:\n%s", m.name, plan.String())
			}
		}
	})
}
