package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // to strike PostgreSQL from beside

	"millrace/adapters/sqldb"
	"millrace/migrations"
	"millrace/tests/freeport"
)

// start brings the system up.
func (w *world) start(ctx context.Context) error {
	w.base = freeport.Block(10)
	if err := w.startParties(ctx); err != nil {
		return err
	}
	begin := w.startEmbedded
	if w.opts.Stack == realStack {
		begin = w.startReal
	}
	if err := begin(ctx); err != nil {
		return err
	}
	return w.await(ctx, 90*time.Second, "every service is ready", w.ready)
}

// startEmbedded starts everything in one process, on a small disk of its own where this machine
// lets us make one.
func (w *world) startEmbedded(ctx context.Context) error {
	w.data = filepath.Join(w.dir, "data")
	if err := os.Mkdir(w.data, 0o755); err != nil {
		return err
	}
	if err := w.smallDisk(ctx); err != nil {
		w.say("  no small disk: %v", err)
	}
	w.kafka, w.redis = at(w.base+8), at(w.base+9)
	p := w.newProcess("millrace", w.binary, w.settings, "up", "--data", w.data, "--base-port", strconv.Itoa(w.base), "--log-format", "json")
	w.all = []*process{p}
	for _, service := range services {
		w.system[service] = p
	}
	if err := p.start(); err != nil {
		return err
	}
	w.later(func() {
		if err := p.end(syscall.SIGTERM, 12*time.Second); err != nil {
			w.broken("at the end: %v", err)
		}
	})
	if err := w.await(ctx, 60*time.Second, "every service is ready", w.ready); err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail(20))
	}
	for _, schema := range migrations.Schemas {
		db := sqldb.OpenSQLiteReadOnly(w.file(schema))
		w.dbs[schema] = db
		w.later(func() { _ = db.Close() })
	}
	return nil
}

func (w *world) file(schema string) string { return filepath.Join(w.data, "db", schema+".db") }

// servers are PostgreSQL, Kafka and Redis of this run alone, so that striking them disturbs nobody.
type servers struct {
	root, dir    string
	postgres     *url.URL
	kafka, redis string
	admin        *sql.DB
}

// infra runs a verb of scripts/infra on the servers of this run.
func (s *servers) infra(ctx context.Context, verb ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "scripts", "infra"), verb...)
	cmd.Env = append(os.Environ(), "INFRA_DIR="+s.dir, "INFRA_ENGINE=native")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/infra %s: %w\n%s", strings.Join(verb, " "), err, text)
	}
	return nil
}

// errNoServers: this machine has no PostgreSQL, Kafka and Redis for us.
var errNoServers = errors.New("the real stack has no servers here")

// startServers starts them in a folder of the run.
func (w *world) startServers(ctx context.Context) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	s := &servers{root: root, dir: filepath.Join(w.dir, "infra")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	// What was fetched for the checkout need not be fetched again.
	fetched := filepath.Join(root, ".infra", "fetched")
	if err := os.MkdirAll(fetched, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(fetched, filepath.Join(s.dir, "fetched")); err != nil {
		return err
	}
	w.later(func() {
		if err := s.infra(context.WithoutCancel(ctx), "down"); err != nil {
			w.say("  %v", err)
		}
	})
	if err := s.infra(ctx, "up"); err != nil {
		return fmt.Errorf("%w: %w", errNoServers, err)
	}
	values, err := readShell(filepath.Join(s.dir, "env"))
	if err != nil {
		return err
	}
	s.kafka, s.redis = values["TEST_KAFKA_BROKERS"], values["TEST_REDIS_ADDR"]
	if s.postgres, err = url.Parse(values["TEST_POSTGRES_DSN"]); err != nil {
		return err
	}
	if s.admin, err = sql.Open("pgx", s.postgres.String()); err != nil {
		return err
	}
	w.later(func() { _ = s.admin.Close() })
	w.servers, w.kafka, w.redis = s, s.kafka, s.redis
	return nil
}

// startReal starts six processes on servers of their own. PostgreSQL and Redis are reached over
// links; Kafka tells its clients where it is, so it is struck itself.
func (w *world) startReal(ctx context.Context) error {
	if err := w.startServers(ctx); err != nil {
		return err
	}
	base := freeport.Block(2)
	if err := errors.Join(w.link("postgres", base, w.servers.postgres.Host), w.link("redis", base+1, w.servers.redis)); err != nil {
		return err
	}
	user, database := w.servers.postgres.User, strings.TrimPrefix(w.servers.postgres.Path, "/")
	password, _ := user.Password()
	w.settings = append(w.settings,
		"POSTGRES_HOST="+loopback, "POSTGRES_PORT="+strconv.Itoa(base), "POSTGRES_DB="+database,
		"POSTGRES_USER="+user.Username(), "POSTGRES_PASSWORD="+password, "POSTGRES_SSLMODE=disable",
		"KAFKA_BROKERS="+w.kafka, "REDIS_HOST="+loopback, "REDIS_PORT="+strconv.Itoa(base+1),
		"ORDER_SERVICE_URL=http://"+at(w.base+1), "INVENTORY_SERVICE_URL=http://"+at(w.base+3))
	for _, verb := range [][]string{{"migrate", "up"}, {"seed"}} {
		if _, err := w.millrace(ctx, verb...); err != nil {
			return err
		}
	}
	for port, service := range services {
		p := w.newProcess(service, w.binary, append(w.settings[:len(w.settings):len(w.settings)], "PORT="+strconv.Itoa(w.base+port)), "serve", service)
		if err := p.start(); err != nil {
			return err
		}
		w.system[service], w.all = p, append(w.all, p)
		w.later(func() {
			if err := p.end(syscall.SIGTERM, 12*time.Second); err != nil {
				w.broken("at the end: %v", err)
			}
		})
	}
	for _, schema := range migrations.Schemas {
		dsn := *w.servers.postgres
		dsn.RawQuery = "sslmode=disable&application_name=chaos&search_path=" + schema
		db, err := sqldb.OpenPostgresDSN(dsn.String(), schema, 4)
		if err != nil {
			return err
		}
		w.dbs[schema] = db
		w.later(func() { _ = db.Close() })
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(string(text))), nil
}

// readShell reads the exports that scripts/infra writes.
func readShell(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		for _, setting := range strings.Fields(strings.TrimPrefix(lines.Text(), "export ")) {
			name, value, _ := strings.Cut(setting, "=")
			values[name] = strings.Trim(value, "'")
		}
	}
	return values, lines.Err()
}

// diskMegabytes is more than a run needs and little enough to be filled: what a long one writes in half
// an hour would fill the disk of a short one by itself.
func diskMegabytes(d time.Duration) int64 {
	if d < longRun {
		return 400
	}
	return 400 + int64(d.Minutes())*60
}

// smallDisk puts the data folder on a small image, so that it can be filled.
func (w *world) smallDisk(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("only root can mount an image")
	}
	image := filepath.Join(w.dir, "disk.img")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskMegabytes(w.opts.Duration)<<20), f.Close()); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, w.data}} {
		if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, cut(text))
		}
	}
	w.later(func() {
		if text, err := exec.CommandContext(context.WithoutCancel(ctx), "umount", w.data).CombinedOutput(); err != nil {
			w.say("  umount: %v: %s", err, cut(text))
		}
	})
	if err := os.Remove(filepath.Join(w.data, "lost+found")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.disk = true
	return nil
}
