package e2e

import (
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
	s.database = schemasOf(own)
	s.holdInventory = func(t *testing.T) func() {
		t.Helper()
		return hold(t, s.database(t, "inventory"), "LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
	}
	return s
}

func TestAThousandStuckOrdersOnPostgreSQLArePutRightWithAKillInTheMiddle(t *testing.T) {
	skipShort(t)
	t.Parallel()
	thousandStuck(t, newOnPostgres(t))
}
