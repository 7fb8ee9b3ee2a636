package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An operator's verb that looked elsewhere than the services would mend, or show, a state that nobody uses.
func TestVerbsReadDotEnvAsTheServicesDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nobody := "POSTGRES_HOST=127.0.0.1\nPOSTGRES_PORT=1\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(nobody), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"migrate up", "migrate status", "seed", "verify", "saga list", "dlq list", "outbox status"} {
		c := spawnIn(dir, binary, t, t, nil, strings.Fields(verb)...)
		c.ends(t, 30*time.Second, 1)
		if said := c.stderr.String(); !strings.Contains(said, "127.0.0.1:1") {
			t.Errorf("%s said %q, want that 127.0.0.1:1 does not answer", verb, said)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".millrace")); err == nil {
		t.Error("a verb made a data folder, where .env names a PostgreSQL")
	}
}
