package journal_test

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"millrace/adapters/adaptertest"
	"millrace/adapters/audit"
	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	books "millrace/app/audit"
	"millrace/migrations"
)

var (
	shape = regexp.MustCompile(`\b(saga_journal|saga_archives)\b`)
	taken = regexp.MustCompile(`(?i)\b(DROP|RENAME)\s+(COLUMN|TABLE|TO)\b`)
)

// What a reader relies on is of migration Schema, and no later one takes any of it away.
func TestTheJournalHasTheShapeThatItsMigrationGaveIt(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"sqlite", "postgres"} {
		names, err := fs.Glob(migrations.Files, dialect+"/orders/*.sql")
		if err != nil || len(names) < 5 {
			t.Fatalf("%v %v", names, err)
		}
		newest := int64(0)
		for _, name := range names {
			n, err := goose.NumericComponent(name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := fs.ReadFile(migrations.Files, name)
			if err != nil {
				t.Fatal(err)
			}
			up, _, _ := strings.Cut(string(text), "-- +goose Down")
			if shape.MatchString(up) {
				newest = max(newest, n)
			}
			if n > journal.Schema && taken.MatchString(up) {
				t.Errorf("%s takes something away: does the journal's reader need it? Then Schema is %d", name, n)
			}
		}
		if newest != journal.Schema {
			t.Errorf("%s: the journal's shape is of migration %d, and Schema is %d", dialect, newest, journal.Schema)
		}
	}
}

// A branch asks about the live database before its migration is there, and a build that was rolled back reads
// what a newer one has left. Nobody writes to either.
func TestAJournalIsReadFromADatabaseThatIsAheadOfThisBuildOrBehindIt(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		o.order("ord_1").hears("OrderCreated", "PaymentSucceeded", "InventoryReserved")
		read := func(t *testing.T) {
			t.Helper()
			o.must(journal.Check(t.Context(), o.db))
			if err := sqldb.Check(t.Context(), o.db, "orders"); !errors.Is(err, sqldb.ErrVersion) {
				t.Errorf("whoever writes is told %v", err)
			}
			if broken := replayed(t, o, "ord_1"); broken != "" {
				t.Error(broken)
			}
			sagas := audit.NewSagas(o.db, 0, o.clock)
			if list, err := sagas.List(t.Context(), books.Query{State: "confirmed"}); err != nil || list.Total != 1 {
				t.Errorf("listed are %+v %v", list, err)
			}
			if h, err := sagas.Show(t.Context(), "ord_1"); err != nil || !h.Chain.OK {
				t.Errorf("shown is %+v %v", h, err)
			}
			if all, err := sagas.Definitions(t.Context()); err != nil || len(all) != 1 {
				t.Errorf("counted are %+v %v", all, err)
			}
		}
		for _, statement := range []string{
			"ALTER TABLE sagas ADD COLUMN of_tomorrow TEXT", "CREATE TABLE of_tomorrow (a TEXT)",
			"INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, max(is_applied" +
				map[sqldb.Dialect]string{sqldb.Postgres: "::int)::int::boolean"}[o.db.Dialect] +
				map[sqldb.Dialect]string{sqldb.SQLite: ")"}[o.db.Dialect] + " FROM goose_db_version",
		} {
			_, err := o.db.ExecContext(t.Context(), statement)
			o.must(err)
		}
		read(t)

		for _, statement := range []string{
			"ALTER TABLE sagas DROP COLUMN of_tomorrow", "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)",
		} {
			_, err := o.db.ExecContext(t.Context(), statement)
			o.must(err)
		}
		for {
			o.must(sqldb.MigrateDown(t.Context(), o.db, "orders"))
			v, err := sqldb.Status(t.Context(), o.db, "orders")
			o.must(err)
			if v.At < journal.Schema {
				break
			}
			read(t)
		}
		if err := journal.Check(t.Context(), o.db); !errors.Is(err, sqldb.ErrVersion) || !strings.Contains(err.Error(), "migrate up") {
			t.Errorf("before the journal has its shape: %v", err)
		}
	})
}

func TestTheNewestMoveIsToldByTheOrchestratorsClock(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		j := journal.New(o.db, 0, o.clock)
		if at, err := j.Newest(t.Context()); err != nil || !at.IsZero() {
			t.Errorf("of no saga: %s %v", at, err)
		}
		o.order("ord_1").hears("OrderCreated", "PaymentSucceeded")
		at, err := j.Newest(t.Context())
		if err != nil || !at.Equal(o.now) {
			t.Errorf("%s, want %s: %v", at, o.now, err)
		}
		if got := ids(t, j, books.Query{Moved: at}); len(got) != 1 {
			t.Errorf("at that time moved %v", got)
		}
	})
}
