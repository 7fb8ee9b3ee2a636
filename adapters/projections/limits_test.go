package projections

import (
	"context"
	"os"
	"testing"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/adaptertest"
)

// The limits of a service's sessions are made for short transactions; the first look over all orders, and
// the exchange while it reads histories, may take longer.
func TestLongTransactionsHaveNoTimeLimit(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	db := adaptertest.Postgres(t, dsn, "orders")
	err := snapshot(t.Context(), db, func(ctx context.Context, tx *sqlx.Tx) error {
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
