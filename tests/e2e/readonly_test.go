package e2e

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sealing makes a folder read-only for one process, root or not, and starts it where there is no network, not
// even a loopback. Its words are the folder and the command.
const sealing = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`

func sealed(folder string, words ...string) []string {
	return append([]string{"--map-root-user", "--mount", "--net", "sh", "-c", sealing, folder}, words...)
}

// sealable skips the test where a process cannot be shut in, and sees that one that is cannot get out.
func sealable(t *testing.T, s *stack) {
	t.Helper()
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("unshare is not installed: no process can be shut in")
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", sealed(s.data, "true")...).CombinedOutput(); err != nil {
		t.Skipf("unshare is not allowed here, so that no process can be shut in: %v: %s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", sealed(s.data, "touch", filepath.Join(s.data, "written"))...).CombinedOutput(); err == nil {
		t.Errorf("who is shut in can write: %s", out)
	}
	asking := []string{"order", "list", "--url", s.url(gatewayPort, "")}
	spawn(t, t, s.env, asking...).ends(t, 30*time.Second, 0)
	spawnBuild("unshare", t, t, s.env, sealed(s.data, append([]string{binary}, asking...)...)...).ends(t, 30*time.Second, 1)
}

// reading are the verbs that read, on an order and a bundle.
type reading struct {
	args []string
	code int
	same bool // its output tells no ages
}

func readings(id, bundle, corpus string, data ...string) []reading {
	on := func(words ...string) []string { return append(append([]string{"saga"}, words...), data...) }
	return []reading{
		{on("list"), 0, false},
		{on("show", id), 0, true},
		{on("show", id, "--at", "2", "--json"), 0, true},
		{on("graph", id), 0, true},
		{on("watch", id), 0, true},
		{on("drain"), 0, true},
		{on("export", "--query", ""), 0, true},
		{on("replay", "--query", ""), 0, true},
		{on("replay", id, "--json"), 0, true},
		{on("whatif", id, "--at", "2", "--advance", "1m"), 0, true},
		{on("shadow", "--for", "50ms", "--every", "10ms"), 3, true},
		{[]string{"saga", "replay", bundle}, 0, true},
		{[]string{"saga", "whatif", bundle, "--reorder", "2,3"}, 0, true},
		{[]string{"saga", "bisect", bundle, "--good", binary, "--bad", binary}, 0, true},
		{[]string{"saga", "corpus", "check", "--dir", corpus}, 0, true},
	}
}

// The whole program, not a part of it: where nothing can be written and nobody be reached, every verb that reads
// says what it says elsewhere.
func TestWhatOnlyReadsNeedsNeitherANetworkNorADiskThatTakesWrites(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	id := s.place(t, wish{})
	s.awaitEnd(t, id, soon)
	s.awaitEnd(t, s.place(t, wish{sku: "SKU-NONE"}), soon)
	sealable(t, s)
	s.terminate(t)

	bundle := filepath.Join(t.TempDir(), "one.ndjson")
	exporting := spawn(t, t, s.env, "saga", "export", id, "--data", s.data)
	exporting.ends(t, time.Minute, 0)
	if err := os.WriteFile(bundle, []byte(exporting.stdout.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	corpus, err := filepath.Abs("../../sagas/testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	compare := func(t *testing.T) {
		t.Helper()
		for _, r := range readings(id, bundle, corpus, "--data", s.data) {
			shut := spawnBuild("unshare", t, t, s.env, sealed(s.data, append([]string{binary}, r.args...)...)...)
			shut.ends(t, time.Minute, r.code)
			free := spawn(t, t, s.env, r.args...)
			free.ends(t, time.Minute, r.code)
			if got, want := shut.stdout.String(), free.stdout.String(); r.same && got != want || len(got) == 0 {
				t.Errorf("%v says\n%s\nand where it may write\n%s", r.args, got, want)
			}
		}
	}
	compare(t)
	spawnBuild("unshare", t, t, s.env, sealed(s.data, binary, "seed", "--data", s.data)...).ends(t, time.Minute, 1)

	s.otherSchemas(t, id)

	s.start(t) // and of one that left its files open
	s.awaitEnd(t, s.place(t, wish{}), soon)
	s.kill()
	for _, file := range []string{"orders.db-wal", "orders.db-shm"} {
		if _, err := os.Stat(filepath.Join(s.data, "db", file)); err != nil {
			t.Fatalf("a stack that was killed has left no %s: %v", file, err)
		}
	}
	replaying := spawnBuild("unshare", t, t, s.env, sealed(s.data, binary, "saga", "replay", "--query", "", "--data", s.data)...)
	replaying.ends(t, time.Minute, 0)
	if said := replaying.stdout.String(); !strings.HasPrefix(said, "3 sagas with ") {
		t.Errorf("of a killed stack it says %s", said)
	}
}

// otherSchemas lets the database be a migration ahead of the build, and then one behind: what reads it reads it,
// and what would write refuses.
func (s *stack) otherSchemas(t *testing.T, id string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "db", "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	const newest = "(SELECT max(version_id) FROM goose_db_version)"
	var applied int64
	if err := db.QueryRowContext(t.Context(), "SELECT "+newest).Scan(&applied); err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		for _, words := range [][]string{{"replay", "--query", "since=1h"}, {"show", id}, {"list"}, {"export", id}, {"graph", id}, {"drain"}} {
			spawn(t, t, s.env, slices.Concat([]string{"saga"}, words, []string{"--data", s.data})...).ends(t, time.Minute, 0)
		}
		spawn(t, t, s.env, "saga", "shadow", "--for", "50ms", "--every", "10ms", "--data", s.data).ends(t, time.Minute, 3)
		spawn(t, t, s.env, "saga", "plan", "resume", "--query", "", "--data", s.data).ends(t, time.Minute, 1)
	}
	must(t, db, "INSERT INTO goose_db_version (version_id, is_applied) SELECT version_id + 1, 1 FROM goose_db_version WHERE version_id = "+newest)
	look()
	must(t, db, "DELETE FROM goose_db_version WHERE version_id = "+newest)
	must(t, db, "DELETE FROM goose_db_version WHERE version_id = "+newest)
	look()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", applied); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// On PostgreSQL it is a role that may do nothing but look.
func TestWhatOnlyReadsNeedsNoRightToWriteInPostgreSQL(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newOnPostgres(t)
	s.start(t)
	id := s.place(t, wish{})
	s.awaitEnd(t, id, soon)
	await(t, soon, "all is told", func() bool { return s.unsent(t) == 0 })
	s.terminate(t)

	reader := "looks_" + strings.TrimPrefix(id, "ord_")
	db := s.database(t, "orders")
	must(t, db, "CREATE ROLE "+reader+" LOGIN PASSWORD 'looks'")
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + reader, "DROP ROLE " + reader} {
			if _, err := db.Exec(statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
	for _, schema := range []string{"orders", "payments", "inventory", "notifications"} {
		must(t, db, "GRANT USAGE ON SCHEMA "+schema+" TO "+reader)
		must(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA "+schema+" TO "+reader)
	}
	mine := append(slices.Clone(s.env), "POSTGRES_USER="+reader, "POSTGRES_PASSWORD=looks")

	bundle := filepath.Join(t.TempDir(), "one.ndjson")
	exporting := spawn(t, t, mine, "saga", "export", id)
	exporting.ends(t, time.Minute, 0)
	if err := os.WriteFile(bundle, []byte(exporting.stdout.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	corpus, err := filepath.Abs("../../sagas/testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readings(id, bundle, corpus) {
		spawn(t, t, mine, r.args...).ends(t, time.Minute, r.code)
	}
	spawn(t, t, mine, "seed").ends(t, time.Minute, 1)
}
