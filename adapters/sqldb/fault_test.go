package sqldb_test

import (
	"errors"
	"testing"

	"millrace/adapters/sqldb"
)

func TestAStatementThatTookTooLongIsToldFromALockNotGiven(t *testing.T) {
	t.Parallel()
	db := oneConnection(t)
	if _, err := db.ExecContext(t.Context(), "SET statement_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	_, err := db.ExecContext(t.Context(), "SELECT pg_sleep(60)")
	if err = sqldb.Classify(err); !errors.Is(err, sqldb.ErrSlow) {
		t.Errorf("it is %v", err)
	}
}
