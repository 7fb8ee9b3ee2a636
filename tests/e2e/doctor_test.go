package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What doctor's own session would be refused says nothing about the services' sessions; what the user of the
// database is refused does.
func TestDoctorTellsOfAUserThatMayOnlyReadAndNotOfItself(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newOnPostgres(t)
	spawn(t, t, s.env, "migrate", "up").ends(t, 30*time.Second, 0)
	says := func() string {
		doctor := spawn(t, t, slices.Concat(s.env, []string{"SMTP_HOST=discard"}), "doctor")
		doctor.ends(t, 30*time.Second, 0)
		return doctor.stdout.String()
	}
	const setting = "setting default_transaction_read_only"
	if said := says(); strings.Contains(said, setting) || !strings.Contains(said, "postgres, version") {
		t.Errorf("nothing is wrong with the database, and doctor says:\n%s", said)
	}
	must(t, s.database(t, "orders"), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	if said := says(); !strings.Contains(said, setting) {
		t.Errorf("nothing can be written, and doctor says:\n%s", said)
	}
}
