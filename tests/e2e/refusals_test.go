package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refuses checks that a start ends with exit code 1 and one line that says what to do: log lines
// are JSON and do not count.
func refuses(t *testing.T, settings, args []string, says ...string) {
	t.Helper()
	c := spawn(t, t, settings, args...)
	c.ends(t, 15*time.Second, 1)
	var lines []string
	for line := range strings.Lines(c.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	said := strings.Join(lines, "")
	if len(lines) != 1 {
		t.Errorf("it says %d lines, want one:\n%s", len(lines), said)
	}
	for _, word := range says {
		if !strings.Contains(said, word) {
			t.Errorf("it does not say %q:\n%s", word, said)
		}
	}
}

func up(data string, base int) []string {
	return []string{"up", "--log-format", "json", "--data", data, "--base-port", strconv.Itoa(base)}
}

// secondInstance tries what is taken already by an instance that runs.
func secondInstance(t *testing.T, s *stack) {
	data, pid := s.data, strconv.Itoa(s.running[0].cmd.Process.Pid)
	t.Run("on the same folder", func(t *testing.T) {
		t.Parallel()
		refuses(t, nil, up(data, freeBlock(t)), data, pid, "--data")
	})
	t.Run("on the same ports", func(t *testing.T) {
		t.Parallel()
		refuses(t, nil, up(t.TempDir(), s.base), pid, "in use", "-port")
	})
	t.Run("on the same Kafka port", func(t *testing.T) {
		t.Parallel()
		refuses(t, nil, append(up(t.TempDir(), freeBlock(t)), "--kafka-port", strconv.Itoa(s.base+kafkaPort)),
			strconv.Itoa(s.base+kafkaPort), pid, "--kafka-port")
	})
}

func TestAStartThatCannotWorkSaysWhy(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for port := gatewayPort; port <= redisPort; port++ {
		t.Run("port N+"+strconv.Itoa(port)+" in use", func(t *testing.T) {
			t.Parallel()
			base := freeBlock(t)
			l, err := net.Listen("tcp", at(base+port))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			refuses(t, nil, up(t.TempDir(), base), "port "+strconv.Itoa(base+port), strconv.Itoa(os.Getpid()), "-port")
		})
	}
	t.Run("a folder that cannot be made", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, up(filepath.Join(file, "data"), freeBlock(t)), filepath.Join(file, "data"), "--data")
	})
	t.Run("a folder that cannot be written", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, up(dir, freeBlock(t)), dir, "--data")
	})
	for _, part := range []string{"db", "kafka", "mail", "psp"} {
		t.Run("a file where the folder "+part+" should be", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, part), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			refuses(t, nil, up(dir, freeBlock(t)), filepath.Join(dir, part))
		})
	}
	t.Run("a database that is none", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "db", "orders.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, up(dir, freeBlock(t)), path)
	})
	for setting, want := range map[string]string{
		"PAYMENT_TIMEOUT=soon": "PAYMENT_TIMEOUT", "KAFKA_BROKERS=here": "KAFKA_BROKERS", "POSTGRES_PORT=70000": "POSTGRES_PORT",
		"KAFKA_BROKER=127.0.0.1:9092": "KAFKA_BROKERS", "MILLRACE_ENV=prod": "MILLRACE_ENV",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			refuses(t, []string{setting}, up(t.TempDir(), freeBlock(t)), want)
		})
	}
	t.Run("a service without its settings", func(t *testing.T) {
		t.Parallel()
		c := spawn(t, t, nil, "serve", "order-service")
		c.ends(t, 15*time.Second, 1)
		for _, name := range []string{"POSTGRES_HOST", "KAFKA_BROKERS"} {
			if !strings.Contains(c.stderr.String(), name) {
				t.Errorf("it does not name %s:\n%s", name, c.stderr)
			}
		}
	})
	t.Run("a service that is none", func(t *testing.T) {
		t.Parallel()
		refuses(t, nil, []string{"serve", "bakery"}, "payment-service")
	})
}

// On a real stack: what a wrong setting of the database says.
func TestAServiceThatCannotWorkSaysWhy(t *testing.T) {
	on := testServers(t)
	t.Parallel()
	admin, own := newDatabase(t, on.postgres)
	password, _ := admin.User.Password()
	settings := func(more ...string) []string {
		return append([]string{
			"POSTGRES_HOST=" + admin.Hostname(), "POSTGRES_PORT=" + admin.Port(), "POSTGRES_DB=" + strings.TrimPrefix(own.Path, "/"),
			"POSTGRES_USER=" + admin.User.Username(), "POSTGRES_PASSWORD=" + password, "KAFKA_BROKERS=" + on.kafka,
			"PORT=" + strconv.Itoa(freeBlock(t)),
		}, more...)
	}
	serve := []string{"serve", "order-service"}
	t.Run("wrong password", func(t *testing.T) {
		refuses(t, settings("POSTGRES_PASSWORD=not-this-one"), serve, "password", "POSTGRES_PASSWORD")
	})
	t.Run("no such user", func(t *testing.T) {
		refuses(t, settings("POSTGRES_USER=nobody"), serve, "nobody", "POSTGRES_USER")
	})
	t.Run("no such database", func(t *testing.T) {
		refuses(t, settings("POSTGRES_DB=nowhere"), serve, "nowhere", "POSTGRES_DB")
	})
	t.Run("a database that was never migrated", func(t *testing.T) {
		refuses(t, settings(), serve, "orders", "millrace migrate up")
	})
	t.Run("an older schema", func(t *testing.T) {
		spawn(t, t, settings(), "migrate", "up").ends(t, 30*time.Second, 0)
		spawn(t, t, settings(), "migrate", "down").ends(t, 30*time.Second, 0)
		refuses(t, settings(), serve, "orders", "millrace migrate up")
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", loopback+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, settings("PORT="+port), serve, port, strconv.Itoa(os.Getpid()), "PORT")
	})
}
