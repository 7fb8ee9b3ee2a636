package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"millrace/bench/peers/life"
)

// load is what one run of `millrace bench` puts on a contestant. The generator is the same for all.
type load struct {
	orders  int
	maxOpen int     // 0 for any number
	rate    float64 // orders a second; 0 for as fast as they are accepted
	skus    int     // 0 for all hundred
}

// outcome is what `millrace bench --json` prints. Times are in milliseconds.
type outcome struct {
	Orders             int     `json:"orders"`
	Accepted           int     `json:"accepted"`
	Completed          int     `json:"completed"`
	Failed             int     `json:"failed"`
	AcceptedPerSecond  float64 `json:"acceptedPerSecond"`
	CompletedPerSecond float64 `json:"completedPerSecond"`
	Accept             ranks   `json:"accept"`
	Confirm            ranks   `json:"confirm"`
}

type ranks struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// put puts the load on a contestant. It fails when an order did.
func (s *servers) put(ctx context.Context, c *contestant, l load) (outcome, error) {
	concurrency := 128
	if l.maxOpen > 0 {
		concurrency = min(concurrency, l.maxOpen)
	}
	args := []string{"bench", "--json", "--url", c.url, "--handled-at", strings.Join(c.handledAt, ","),
		"--orders", strconv.Itoa(l.orders), "--concurrency", strconv.Itoa(concurrency), "--max-open", strconv.Itoa(l.maxOpen)}
	if l.rate > 0 {
		args = append(args, "--rate", strconv.FormatFloat(l.rate, 'f', -1, 64))
	}
	if l.skus > 0 {
		args = append(args, "--skus", strconv.Itoa(l.skus))
	}
	out, err := s.ask(ctx, nil, args...)
	var o outcome
	if wrong := json.Unmarshal(out, &o); wrong != nil {
		return o, errors.Join(err, fmt.Errorf("read what bench says: %w", wrong))
	}
	return o, err
}

// pgbench lets PostgreSQL alone run the lifecycle script for some seconds, and gives orders a second.
// Every order must be there afterwards, with all its rows.
func (s *servers) pgbench(ctx context.Context, script string, seconds int) (float64, error) {
	const database = "bench_pgbench"
	if err := s.database(ctx, database); err != nil {
		return 0, err
	}
	create := func(db *pgx.Conn) error { return life.Create(ctx, db) }
	if err := s.sql(ctx, database, create); err != nil {
		return 0, err
	}
	binary, err := findPgbench()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, binary, "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", strconv.Itoa(seconds),
		"-f", filepath.Join(s.root, "bench/pgbench", script+".sql"), s.dsn(database))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return 0, fmt.Errorf("pgbench %s: %s", script, exit.Stderr)
	} else if err != nil {
		return 0, fmt.Errorf("pgbench %s: %w", script, err)
	}
	rate, ran := 0.0, 0
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "tps = "); ok {
			rate, _ = strconv.ParseFloat(strings.Fields(text)[0], 64)
		}
		if text, ok := strings.CutPrefix(line, "number of transactions actually processed: "); ok {
			ran, _ = strconv.Atoi(strings.TrimSpace(text))
		}
	}
	return rate, s.sql(ctx, database, func(db *pgx.Conn) error {
		orders, err := life.Check(ctx, db)
		if err == nil && orders != ran {
			err = fmt.Errorf("pgbench ran %d orders, %d are there", ran, orders)
		}
		return err
	})
}

// findPgbench looks where Debian puts it, and in PATH.
func findPgbench() (string, error) {
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench"); err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	found, err := exec.LookPath("pgbench")
	if err != nil {
		return "", errors.New("pgbench is missing: it comes with postgresql (Debian: postgresql-15)")
	}
	return found, nil
}

// round is a measurement of one contestant, which is started for it, warmed up, measured, checked
// and ended.
func (c *conductor) round(ctx context.Context, m maker, warm int, measure func(*contestant) error) error {
	if err := c.servers.settle(ctx); err != nil {
		return err
	}
	who, err := m.make(ctx, c.servers)
	if err != nil {
		c.report.fail(m.name, fmt.Errorf("start: %w", err))
		return ctx.Err() // the others have their turns all the same
	}
	var sent int
	c.put = func(l load) (outcome, error) {
		l.orders = max(20, int(float64(l.orders)*c.plan.scale))
		sent += l.orders
		return c.servers.put(ctx, who, l)
	}
	_, wrong := c.put(load{orders: warm, maxOpen: 200})
	if wrong == nil {
		wrong = measure(who)
	}
	if wrong == nil {
		var orders int
		if orders, wrong = who.check(ctx); wrong == nil && orders != sent {
			wrong = fmt.Errorf("%d orders were sent, %d are there", sent, orders)
		}
	}
	err = who.stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if wrong != nil {
		c.report.fail(m.name, wrong)
		return err
	}
	c.report.keep()
	return err
}

// cpu gives the processor time that a contestant's own processes have used so far.
func (c *contestant) cpu() time.Duration {
	var sum time.Duration
	for _, p := range c.measured {
		sum += p.cpu()
	}
	return sum
}
