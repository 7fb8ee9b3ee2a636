package e2e

import (
	"database/sql"
	"os"
	"strings"
	"testing"
)

// newOnPostgres makes a stack of `millrace up` whose databases are on the server of the environment. Its broker
// is embedded, so that it can lose its disk; its provider is not, so that verify can ask it by its address.
func newOnPostgres(t *testing.T) *stack {
	t.Helper()
	server := os.Getenv("TEST_POSTGRES_DSN")
	if server == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	s := newEmbedded(t)
	s.data = "" // a verb that is given a folder looks for databases in it
	doors := freeBlock(t)
	newProvider(t, s, doors)
	admin, own := newDatabase(t, server)
	password, _ := admin.User.Password()
	s.env = append(s.env, "POSTGRES_HOST="+admin.Hostname(), "POSTGRES_PORT="+admin.Port(), "POSTGRES_DB="+strings.TrimPrefix(own.Path, "/"),
		"POSTGRES_USER="+admin.User.Username(), "POSTGRES_PASSWORD="+password, "POSTGRES_SSLMODE=disable", "PSP_URL=http://"+at(doors+pspPort))
	open := func(t *testing.T, more string) *sql.DB {
		t.Helper()
		db, err := sql.Open("pgx", own.String()+more)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	s.database = func(t *testing.T, schema string) *sql.DB {
		t.Helper()
		db := open(t, "&search_path="+schema)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	s.holdInventory = func(t *testing.T) func() {
		t.Helper()
		return hold(t, open(t, ""), "LOCK TABLE inventory.stock IN ACCESS EXCLUSIVE MODE")
	}
	return s
}

func TestAThousandStuckOrdersOnPostgreSQLArePutRightWithAKillInTheMiddle(t *testing.T) {
	skipShort(t)
	t.Parallel()
	thousandStuck(t, newOnPostgres(t))
}
