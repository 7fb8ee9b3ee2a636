package sqldb_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // to open a file as nobody should

	"millrace/adapters/sqldb"
)

func TestADatabaseAsWeOpenItHasNoWeakness(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.db")
	db, err := sqldb.OpenSQLite(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	wantWeaknesses(t, db)
	reader := sqldb.OpenSQLiteReadOnly(path)
	t.Cleanup(func() { _ = reader.Close() })
	wantWeaknesses(t, reader)
}

func TestAnSQLiteFileThatIsOpenedWronglyIsNamed(t *testing.T) {
	t.Parallel()
	for pragmas, want := range map[string][]string{
		"_pragma=journal_mode(DELETE)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)": {"journal_mode"},
		"_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)":  {"synchronous"},
		"_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)":                             {"foreign_keys", "synchronous"},
	} {
		pool, err := sqlx.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders.db")+"?"+pragmas)
		must(t, err)
		pool.SetMaxOpenConns(1)
		db := &sqldb.DB{DB: pool, Read: pool, Dialect: sqldb.SQLite}
		wantWeaknesses(t, db, want...)
		must(t, db.Close())
	}
}

func TestAPostgresAsWeStartItHasNoWeakness(t *testing.T) {
	t.Parallel()
	wantWeaknesses(t, postgres(t, testServer(t), nil))
}

// What a role, a database or a connection string sets counts like what the server's file sets.
func TestASessionThatIsUnsafeIsNamed(t *testing.T) {
	t.Parallel()
	server := testServer(t)
	for setting, value := range map[string]string{
		"synchronous_commit": "off", "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
	} {
		wantWeaknesses(t, postgres(t, server, url.Values{setting: {value}}), setting)
	}
}

func TestAServerThatIsTooOldIsNamed(t *testing.T) {
	t.Parallel()
	is := map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "default_transaction_isolation": "read committed"}
	for version, want := range map[int]int{140_013: 1, 150_000: 0, 180_001: 0} {
		if found := sqldb.Judge(is, version); len(found) != want || want == 1 && (found[0].Setting != "server_version" || !strings.Contains(found[0].Detail, "is 14")) {
			t.Errorf("version %d: %+v", version, found)
		}
	}
}

func TestAServerThatIsUnsafeIsNamed(t *testing.T) {
	t.Parallel()
	testServer(t)
	server := ownServer(t, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
	wantWeaknesses(t, postgres(t, server, nil), "fsync", "full_page_writes", "synchronous_commit")
}

func TestAReplicaIsNamed(t *testing.T) {
	t.Parallel()
	testServer(t)
	server := ownServer(t, "standby")
	wantWeaknesses(t, postgres(t, server, nil), "in_recovery")
}

func wantWeaknesses(t *testing.T, db *sqldb.DB, want ...string) {
	t.Helper()
	found, err := sqldb.Examine(t.Context(), db)
	must(t, err)
	var got []string
	for _, w := range found {
		got = append(got, w.Setting)
		if w.Detail == "" || w.Advice == "" {
			t.Errorf("%s says neither what it is nor what to do: %+v", w.Setting, w)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("weak are %v, want %v", got, want)
	}
}

func postgres(t *testing.T, server string, session url.Values) *sqldb.DB {
	t.Helper()
	address, err := url.Parse(server)
	must(t, err)
	query := address.Query()
	for name, values := range session {
		query[name] = values
	}
	address.RawQuery = query.Encode()
	db, err := sqldb.OpenPostgresDSN(address.String(), "public", 2)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func testServer(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	return dsn
}

// ownServer starts a PostgreSQL for this test alone, lays settings into its file, or makes it a
// standby, and starts it again. It skips the test where PostgreSQL is not installed.
func ownServer(t *testing.T, settings ...string) (dsn string) {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) == 0 {
		if _, err := exec.LookPath("initdb"); err != nil {
			t.Skip("PostgreSQL is not installed here: there is no initdb")
		}
	}
	script, err := filepath.Abs("../../scripts/infra")
	must(t, err)
	dir := t.TempDir()
	infra := func(verb ...string) {
		t.Helper()
		cmd := exec.Command(script, verb...)
		cmd.Env = append(os.Environ(), "INFRA_DIR="+dir, "INFRA_SERVERS=postgres", "INFRA_ENGINE=native")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("scripts/infra %v: %v\n%s", verb, err, out)
		}
	}
	t.Cleanup(func() { infra("down") })
	infra("up")
	infra("stop", "postgres")
	data := filepath.Join(dir, "postgres", "data")
	for _, setting := range settings {
		if setting == "standby" {
			must(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
			continue
		}
		name, value, _ := strings.Cut(setting, "=")
		file, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = file.WriteString(name + " = " + value + "\n")
		must(t, err)
		must(t, file.Close())
	}
	infra("start", "postgres")
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	must(t, err)
	for line := range strings.Lines(string(env)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "export TEST_POSTGRES_DSN="); ok {
			dsn = strings.Trim(value, "'")
		}
	}
	return dsn
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
