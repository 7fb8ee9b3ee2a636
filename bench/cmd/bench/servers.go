package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// servers are PostgreSQL, Kafka and Redis, and the programs that are measured on them.
type servers struct {
	root string // of the checkout
	plan plan
	env  map[string]string // addresses, as scripts/infra wrote them
	ours bool              // they were started here, and end here
}

// newServers starts the servers, and builds the peers.
func newServers(ctx context.Context, p plan) (*servers, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, fmt.Errorf("find the checkout: %w", err)
	}
	s := &servers{root: root, plan: p, env: map[string]string{}}
	if _, err := os.Stat(s.millrace()); err != nil {
		return nil, fmt.Errorf("bin/millrace is not built (`make bench` builds it, and is run from its own folder): %w", err)
	}
	for _, dir := range []string{"bin", "logs", "empty"} {
		if err := os.MkdirAll(filepath.Join(p.out, dir), 0o755); err != nil {
			return nil, fmt.Errorf("make the folder for results: %w", err)
		}
	}
	say("building the peers")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(p.out, "bin")+"/", "./peers/watermill", "./peers/river").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peers: %w: %s", err, out)
	}
	running := exec.CommandContext(ctx, filepath.Join(root, "scripts/infra"), "status").Run() == nil
	if running && !p.keep {
		return nil, errors.New("servers are up already, and others on them would be measured too: end them (scripts/infra down), or say -keep")
	}
	say("starting PostgreSQL, Kafka and Redis")
	up := exec.CommandContext(ctx, filepath.Join(root, "scripts/infra"), "up")
	up.Stderr = os.Stderr
	if err := up.Run(); err != nil {
		return nil, fmt.Errorf("scripts/infra up: %w", err)
	}
	s.ours = !running
	out, err := exec.CommandContext(ctx, "bash", "-c", `env -i bash -c '. "$1"; env' - "$0"`, filepath.Join(root, ".infra/env")).Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read .infra/env: %w", err), s.down(context.WithoutCancel(ctx)))
	}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.Contains(name, "_") && name != "_" {
			s.env[name] = value
		}
	}
	return s, nil
}

func (s *servers) millrace() string { return filepath.Join(s.root, "bin/millrace") }

// down ends the servers, where they were started here.
func (s *servers) down(ctx context.Context) error {
	if !s.ours {
		return nil
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(s.root, "scripts/infra"), "down").CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/infra down: %w: %s", err, out)
	}
	return nil
}

// dsn is the address of a database.
func (s *servers) dsn(database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(s.env["POSTGRES_USER"], s.env["POSTGRES_PASSWORD"]),
		Host: net.JoinHostPort(s.env["POSTGRES_HOST"], s.env["POSTGRES_PORT"]), Path: database, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// database makes a database anew, empty.
func (s *servers) database(ctx context.Context, name string) error {
	return s.sql(ctx, s.env["POSTGRES_DB"], func(db *pgx.Conn) error {
		if _, err := db.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
		_, err := db.Exec(ctx, "CREATE DATABASE "+name)
		return err
	})
}

func (s *servers) sql(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	db, err := pgx.Connect(ctx, s.dsn(database))
	if err != nil {
		return fmt.Errorf("reach database %s: %w", database, err)
	}
	defer db.Close(context.WithoutCancel(ctx))
	if err := do(db); err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	return nil
}

// settle writes to disk what the one before has left, so that the next does not pay for it.
func (s *servers) settle(ctx context.Context) error {
	return s.sql(ctx, s.env["POSTGRES_DB"], func(db *pgx.Conn) error {
		_, err := db.Exec(ctx, "CHECKPOINT")
		return err
	})
}

// process is a program that is measured.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// start runs a program in a folder without settings, with nothing in its environment but what is given.
// It outlives ctx: stop ends it.
func (s *servers) start(ctx context.Context, name, binary string, env map[string]string, args ...string) (*process, error) {
	p := &process{name: name, ended: make(chan struct{}), log: filepath.Join(s.plan.out, "logs", name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = filepath.Join(s.plan.out, "empty"), environment(env), log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func environment(env map[string]string) []string {
	all := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

// stop ends a program, and kills it when it does not end in time.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within 20 s and was killed", p.name)
	}
}

// ready waits until a program says that it is.
func (p *process) ready(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if status, _ := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", port)); status == http.StatusOK {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended at its start: see %s", p.name, p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: see %s", p.name, p.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, at string) (int, []byte) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, nil
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, body
}

// cpu gives the processor time that a program has used so far.
func (p *process) cpu() time.Duration { return processorTime(p.cmd.Process.Pid, false) }

// memory gives what a program holds, in MB: VmRSS: now, VmHWM: at most so far.
func (p *process) memory(what string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == what {
			kb, _ := strconv.ParseFloat(fields[1], 64)
			return kb / 1024
		}
	}
	return 0
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
