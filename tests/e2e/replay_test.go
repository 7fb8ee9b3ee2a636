package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// replayed decides every history that a scenario has left again, from the database and from a bundle
// without anybody's name in it: whatever was killed, late, twice or garbage, today's code decides
// it as it was decided.
func (s *stack) replayed(t *testing.T) {
	t.Helper()
	data := []string{}
	if s.data != "" {
		data = []string{"--data", s.data}
	}
	bundle := filepath.Join(t.TempDir(), "all.ndjson")
	exporting := spawn(t, t, s.env, append([]string{"saga", "export", "--query", "", "--redact"}, data...)...)
	exporting.ends(t, time.Minute, 0)
	if err := os.WriteFile(bundle, []byte(exporting.stdout.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	orders := len(s.orders(t, ""))
	for _, args := range [][]string{append([]string{"--query", ""}, data...), {bundle}} {
		c := spawn(t, t, s.env, append([]string{"saga", "replay", "--json"}, args...)...)
		c.ends(t, time.Minute, 0)
		var report struct {
			Summary struct{ Sagas, Entries, OK int }
		}
		if err := json.Unmarshal([]byte(c.stdout.String()), &report); err != nil {
			t.Fatalf("replay says %q: %v", c.stdout, err)
		}
		if sum := report.Summary; sum.Sagas != orders || sum.OK != orders || sum.Entries < 2*orders {
			t.Errorf("saga replay %v: %+v of %d orders", args, sum, orders)
		}
	}
}
