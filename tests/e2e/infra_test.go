package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ownServers starts PostgreSQL, Kafka and Redis for one test, by a copy of scripts/infra, and gives
// what runs the copy's verbs. It skips the test where nothing has been fetched for it yet: then the
// servers of the environment come from elsewhere.
func ownServers(t *testing.T) (servers, func(t *testing.T, verb ...string)) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	fetched := filepath.Join(root, ".infra", "fetched")
	if _, err := os.Stat(fetched); err != nil {
		t.Skip("scripts/infra has fetched no servers on this machine")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS(filepath.Join(root, "scripts"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".infra"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fetched, filepath.Join(dir, ".infra", "fetched")); err != nil {
		t.Fatal(err)
	}
	infra := func(t *testing.T, verb ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "scripts", "infra"), verb...)
		cmd.Env = append(os.Environ(), "INFRA_ENGINE=native")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("scripts/infra %s: %v\n%s", strings.Join(verb, " "), err, out)
		}
	}
	t.Cleanup(func() { infra(t, "down") })
	infra(t, "up")
	return readServers(t, filepath.Join(dir, ".infra", "env")), infra
}

// readServers reads what scripts/infra wrote for shells.
func readServers(t *testing.T, path string) servers {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		for _, setting := range strings.Fields(strings.TrimPrefix(lines.Text(), "export ")) {
			name, value, _ := strings.Cut(setting, "=")
			values[name] = strings.Trim(value, "'")
		}
	}
	return servers{values["TEST_POSTGRES_DSN"], values["TEST_KAFKA_BROKERS"], values["TEST_REDIS_ADDR"]}
}
