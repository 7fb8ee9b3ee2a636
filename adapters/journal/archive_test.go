package journal_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/adapters/journal/archive"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// kept is the retention that a test looks at. Its sagas are of 2026-01-02, by the database's clock long ago.
const kept = 24 * time.Hour

func retention(t *testing.T, o *ordering, dir string) *archive.Retention {
	t.Helper()
	r, err := archive.New(archive.Config{DB: o.db, Dir: dir, Age: kept, Now: o.clock})
	o.must(err)
	return r
}

func (o *ordering) count(query string) (n int) {
	o.t.Helper()
	o.must(o.db.Read.GetContext(o.t.Context(), &n, query))
	return n
}

// bundles gives the histories of every file in a folder of archives, by file.
func bundles(t *testing.T, dir string) map[string][]replay.History {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]replay.History{}
	for _, path := range files {
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(plain)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := replay.NewReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for h, err := range bundle.Histories() {
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(path)] = append(all[filepath.Base(path)], h)
		}
	}
	return all
}

func TestWhatEndedLongAgoIsInAFileAndNoLongerInTheDatabase(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		for name, tell := range stories {
			tell(o, "ord_"+name)
		}
		ended := o.count("SELECT count(*) FROM sagas WHERE step IN ('confirmed', 'failed', 'cancelled')")
		entries := o.count("SELECT coalesce(sum(journal_seq), 0) FROM sagas WHERE step IN ('confirmed', 'failed', 'cancelled')")
		dir := filepath.Join(t.TempDir(), "archive")
		r := retention(t, o, dir)
		done, err := r.Run(t.Context())
		o.must(err)
		if want := (archive.Done{Files: 1, Sagas: ended, Entries: entries}); done != want || ended == 0 {
			t.Fatalf("%+v, want %+v", done, want)
		}
		sum := replay.Summary{}
		for _, histories := range bundles(t, dir) {
			for _, h := range histories {
				sum.Add(replay.Replay(h, replay.Options{}))
			}
		}
		if sum.OK != ended || sum.Sagas != ended || sum.Entries != entries {
			t.Errorf("the file is replayed as %+v", sum)
		}
		j := journal.New(o.db, 0, o.clock)
		if got := ids(t, j, audit.Query{}); !slices.Equal(got, []string{"ord_open", "ord_undoingandwaiting"}) {
			t.Errorf("in the database are %v", got)
		}
		if done, err := r.Run(t.Context()); err != nil || done != (archive.Done{}) {
			t.Errorf("a second run does %+v %v", done, err)
		}
	})
}

func TestOnlyWhatIsOldAndEndedAndWaitedForByNobodyIsArchived(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		stories["confirmed"](o, "ord_old")
		stories["confirmed"](o, "ord_letter")
		o.now = time.Now().Add(-kept / 2)
		stories["confirmed"](o, "ord_young")
		_, err := o.db.ExecContext(t.Context(), `INSERT INTO dead_letters (id, message_id, order_id, service, consumer, handler, type, topic, partition_no,
			offset_no, headers, reason, error, attempts, first_at, last_at) SELECT 'l', 'm', 'ord_letter', 's', 'c', 'h', 't', 'x', 0, 0, '{}', 'r', 'e', 1, created_at, created_at
			FROM orders WHERE id = 'ord_letter'`)
		o.must(err)
		done, err := retention(t, o, t.TempDir()).Run(t.Context())
		o.must(err)
		if done.Sagas != 1 || o.count("SELECT count(*) FROM saga_archives WHERE order_id = 'ord_old'") != 1 {
			t.Errorf("%+v", done)
		}
	})
}

// The process dies between the file and the database: whatever happens at the note of where a journal
// is, the file is there and nothing was deleted.
func TestACrashBetweenFileAndDatabaseLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		stories["confirmed"](o, "ord_1")
		stories["outofstock"](o, "ord_2")
		stories["staletimer"](o, "ord_moves")
		before := o.count("SELECT count(*) FROM saga_journal")
		dir := t.TempDir()
		o.must(crash(t, o.db, true))
		if _, err := retention(t, o, dir).Run(t.Context()); err == nil {
			t.Fatal("it did not crash")
		}
		if n := o.count("SELECT count(*) FROM saga_journal"); n != before || len(bundles(t, dir)) != 1 {
			t.Fatalf("of %d entries %d are left, and the files are %v", before, n, bundles(t, dir))
		}
		o.must(crash(t, o.db, false))
		o.must(os.WriteFile(filepath.Join(dir, "sagas-x.part"), []byte("half"), 0o600)) // of a run that died earlier still
		(&story{o, "ord_moves"}).timesOut(saga.InventoryTimer, 2)

		done, err := retention(t, o, dir).Run(t.Context())
		o.must(err)
		files := bundles(t, dir)
		times := map[string]int{}
		for _, histories := range files {
			for _, h := range histories {
				times[h.Saga.OrderID]++
				if got := replay.Replay(h, replay.Options{}); got.Verdict != replay.OK {
					t.Errorf("%+v", got)
				}
			}
		}
		if done.Sagas != 3 || o.count("SELECT count(*) FROM saga_journal") != 0 || len(files) != 2 {
			t.Errorf("%+v with the files %v", done, times)
		}
		if times["ord_1"] != 1 || times["ord_2"] != 1 || times["ord_moves"] != 2 {
			t.Errorf("they are archived %v times", times)
		}
	})
}

// crash makes every note of what was archived fail, or no longer.
func crash(t *testing.T, db *sqldb.DB, on bool) error {
	t.Helper()
	statements := []string{"DROP TRIGGER test_crash" + map[sqldb.Dialect]string{sqldb.Postgres: " ON saga_archives"}[db.Dialect]}
	switch {
	case on && db.Dialect == sqldb.SQLite:
		statements = []string{"CREATE TRIGGER test_crash BEFORE INSERT ON saga_archives BEGIN SELECT RAISE(ABORT, 'killed'); END"}
	case on:
		statements = []string{
			"CREATE FUNCTION test_killed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'killed'; END $$",
			"CREATE TRIGGER test_crash BEFORE INSERT ON saga_archives FOR EACH ROW EXECUTE FUNCTION test_killed()",
		}
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			return err
		}
	}
	return nil
}

// What reaches a saga after its journal was archived follows on it.
func TestWhatComesAfterTheArchiveIsChainedToIt(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		stories["confirmed"](o, "ord_1")
		dir := t.TempDir()
		r := retention(t, o, dir)
		_, err := r.Run(t.Context())
		o.must(err)
		j := journal.New(o.db, 0, o.clock)
		read := func() replay.History {
			s, err := j.Histories(t.Context(), audit.Query{}, "ord_1")
			o.must(err)
			defer func() { _ = s.Close() }()
			for h, err := range s.All() {
				o.must(err)
				return h
			}
			return replay.History{}
		}
		h := read()
		got := replay.Replay(h, replay.Options{})
		if got.Verdict != replay.Unreplayable || !strings.Contains(got.Divergences[0].Detail, "archived: replay the file sagas-") {
			t.Errorf("an archived history is %+v", got)
		}

		(&story{o, "ord_1"}).hears("PaymentSucceeded")
		h = read()
		if got := replay.Replay(h, replay.Options{}); got.Verdict != replay.OK || got.Entries != 1 || h.Entries[0].Seq != 4 {
			t.Errorf("what came after is %+v", got)
		}
		if _, err := replay.WhatIf(h, replay.Change{Drop: 4}, replay.Options{}); err == nil || !strings.Contains(err.Error(), h.Saga.Archived.File) {
			t.Errorf("what would have been: %v", err)
		}
		if redacted, err := replay.Redact(h, nil); err != nil || replay.Whole(redacted) != nil {
			t.Errorf("redacted: %v", err)
		}
		changed := h
		changed.Entries = slices.Clone(h.Entries)
		changed.Entries[0].MessageID = "forged"
		again := h
		again.Saga.Archived = &replay.Archived{Entries: 4, Hash: h.Saga.Archived.Hash, File: "f"}
		for name, h := range map[string]replay.History{"changed": changed, "stands there again": again} {
			if replay.Whole(h) == nil {
				t.Errorf("%s: it is whole", name)
			}
		}
		if done, err := r.Run(t.Context()); err != nil || done != (archive.Done{}) {
			t.Errorf("what came after is archived: %+v %v", done, err)
		}
	})
}

func TestAJournalThatIsNotWholeIsNamedAndStaysWhereItIs(t *testing.T) {
	t.Parallel()
	o := newOrdering(t, adaptertest.SQLite(t, "orders"))
	stories["confirmed"](o, "ord_1")
	stories["confirmed"](o, "ord_2")
	stories["confirmed"](o, "ord_3")
	for _, statement := range []string{"DROP TRIGGER saga_journal_no_update", "UPDATE saga_journal SET payload = replace(payload, 'LKR', 'USD') WHERE order_id IN ('ord_1', 'ord_3') AND seq = 2"} {
		_, err := o.db.ExecContext(t.Context(), statement)
		o.must(err)
	}
	done, err := retention(t, o, t.TempDir()).Run(t.Context())
	if !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "ord_1: entry 2") || !strings.Contains(err.Error(), "2 journals in all") {
		t.Errorf("%v", err)
	}
	if done.Sagas != 1 || done.Damaged != 2 || o.count("SELECT count(*) FROM saga_journal WHERE order_id = 'ord_1'") != 3 {
		t.Errorf("%+v", done)
	}
}

// Whoever is not the retention, and whatever it has not archived.
func TestTheDatabaseRefusesToLoseWhatIsNotArchived(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		stories["confirmed"](o, "ord_1")
		stories["open"](o, "ord_open")
		note := func(id string, entries int, hash string) string {
			return fmt.Sprintf("INSERT INTO saga_archives SELECT order_id, %d, %s, 'f', created_at FROM sagas WHERE order_id = '%s'", entries, hash, id)
		}
		refused := []string{
			"DELETE FROM saga_journal", "DELETE FROM saga_journal WHERE order_id = 'ord_1' AND seq = 1", "UPDATE saga_journal SET outcome = 'applied'",
			note("ord_open", 2, "journal_hash"), note("ord_1", 2, "journal_hash"), note("ord_1", 3, "'forged'"), note("ord_1", 4, "journal_hash"),
		}
		archived := []string{
			"UPDATE saga_archives SET entries = 9", "DELETE FROM saga_archives", "DELETE FROM saga_journal WHERE order_id = 'ord_1' AND seq = 4",
			"DELETE FROM saga_journal WHERE order_id = 'ord_open'", note("ord_1", 3, "journal_hash"),
		}
		if o.db.Dialect == sqldb.Postgres {
			refused, archived = append(refused, "TRUNCATE saga_journal"), append(archived, "TRUNCATE saga_archives", "TRUNCATE saga_journal")
		} else {
			archived = append(archived, strings.Replace(note("ord_1", 4, "journal_hash"), "INSERT", "INSERT OR REPLACE", 1))
		}
		tryAll := func(statements []string) {
			t.Helper()
			for _, s := range statements {
				if _, err := o.db.ExecContext(t.Context(), s); err == nil {
					t.Errorf("%s is let through", s)
				}
			}
		}
		tryAll(refused)
		_, err := retention(t, o, t.TempDir()).Run(t.Context())
		o.must(err)
		(&story{o, "ord_1"}).hears("PaymentSucceeded")
		tryAll(archived)
		if n := o.count("SELECT count(*) FROM saga_journal"); n != 3 {
			t.Errorf("%d entries are left of 2 and 1", n)
		}
	})
}

func TestTwoProcessesDoNotArchiveTheSame(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	o := newOrdering(t, adaptertest.Postgres(t, dsn, "orders"))
	stories["confirmed"](o, "ord_1")
	other, err := o.db.Connx(t.Context())
	o.must(err)
	_, err = other.ExecContext(t.Context(), "SELECT pg_advisory_lock($1)", archive.LockKey(o.db.Name))
	o.must(err)
	r := retention(t, o, t.TempDir())
	if done, err := r.Run(t.Context()); err != nil || done != (archive.Done{}) {
		t.Errorf("beside another one it does %+v %v", done, err)
	}
	_, err = other.ExecContext(t.Context(), "SELECT pg_advisory_unlock($1)", archive.LockKey(o.db.Name))
	o.must(errors.Join(err, other.Close()))
	if done, err := r.Run(t.Context()); err != nil || done.Sagas != 1 {
		t.Errorf("after it %+v %v", done, err)
	}
}

func TestAFolderThatCannotBeWrittenIsRefusedBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.New(archive.Config{Dir: taken}); err == nil || !strings.Contains(err.Error(), "JOURNAL_ARCHIVE") {
		t.Errorf("%v", err)
	}
}
