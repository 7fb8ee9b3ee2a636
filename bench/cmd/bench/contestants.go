package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"millrace/bench/peers/life"
)

// contestant is one who takes orders: Millrace, or a peer.
type contestant struct {
	name      string
	url       string
	handledAt []string
	measured  []*process // its own processes
	beside    []*process // the provider, where it is one
	sink      *sink
	check     func(ctx context.Context) (orders int, err error)
}

// stop ends all processes, and what they ask after them.
func (c *contestant) stop() error {
	ended := make([]error, len(c.measured))
	var ending sync.WaitGroup
	for i, p := range c.measured {
		ending.Go(func() { ended[i] = p.stop() })
	}
	ending.Wait()
	err := errors.Join(ended...)
	for _, p := range c.beside {
		err = errors.Join(err, p.stop())
	}
	if c.sink != nil {
		err = errors.Join(err, c.sink.close())
	}
	return err
}

// maker starts a contestant.
type maker struct {
	name string
	make func(context.Context, *servers) (*contestant, error)
}

var (
	ours      = maker{"millrace", form{copies: 1}.start}
	oursReal  = maker{"millrace-real", form{copies: 1, outside: true}.start}
	oursOne   = maker{"millrace-one", form{copies: 1, together: true}.start}
	oursTwice = maker{"millrace-twice", form{copies: 2}.start}
	oursLong  = maker{"millrace-long", form{copies: 1, env: map[string]string{"OUTBOX_RETENTION": "1m", "INBOX_RETENTION": "1m", "IDEMPOTENCY_TTL": "1m"}}.start}
	embedded  = maker{"embedded", up}
	watermill = maker{"watermill", func(ctx context.Context, s *servers) (*contestant, error) {
		return peer(ctx, s, "watermill", "-broker", s.env["KAFKA_BROKERS"])
	}}
	river = maker{"river", func(ctx context.Context, s *servers) (*contestant, error) { return peer(ctx, s, "river") }}
)

// consumers are the services that have consumers.
var consumers = []string{"payment-service", "inventory-service", "notification-service", "orchestrator"}

// oursDatabase is apart from what tests use on the same server.
const oursDatabase = "bench_millrace"

// form is how Millrace is set up.
type form struct {
	copies   int               // of every consumer
	together bool              // all services are one process, as every peer is
	outside  bool              // the provider is asked over HTTP and keeps a ledger on disk, and mail goes to a server
	env      map[string]string // settings that differ
}

// start starts six processes as an operator would, and more of the consumers where there are copies; or one
// process with all services.
func (f form) start(ctx context.Context, s *servers) (c *contestant, err error) {
	base := s.plan.basePort
	env := maps.Clone(s.env)
	env["POSTGRES_DB"] = oursDatabase
	env["LOG_LEVEL"] = "warn"
	maps.Copy(env, f.env)
	env["ORDER_SERVICE_URL"], env["INVENTORY_SERVICE_URL"] = local(base+1), local(base+3)
	env["PSP_URL"], env["SMTP_HOST"] = "inprocess", "discard"
	env["MAX_OPEN_ORDERS"] = "1000000" // a burst is to be taken in whole
	c = &contestant{name: "millrace", url: local(base)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	if f.outside {
		// The provider starts with an empty ledger: so must everything that is compared with it.
		books := filepath.Join(s.plan.out, "psp")
		if err := errors.Join(os.RemoveAll(books), s.database(ctx, oursDatabase)); err != nil {
			return c, err
		}
		p, err := s.start(ctx, "psp", s.millrace(), env, "psp", "--data", books, "--listen", fmt.Sprintf("127.0.0.1:%d", base+6))
		if err != nil {
			return c, err
		}
		c.beside = append(c.beside, p)
		if err := p.ready(ctx, base+6); err != nil {
			return c, err
		}
		if c.sink, err = newSink(ctx, base+7); err != nil {
			return c, err
		}
		env["PSP_URL"], env["SMTP_HOST"], env["SMTP_PORT"] = local(base+6), "127.0.0.1", strconv.Itoa(base+7)
	} else if err := s.database(ctx, oursDatabase); err != nil {
		return c, err
	}
	for _, verb := range []string{"migrate", "seed"} {
		if _, err := s.ask(ctx, env, verb); err != nil {
			return c, err
		}
	}
	c.handledAt = []string{local(base + 4)}
	if f.together {
		err = f.one(ctx, s, c, env)
	} else {
		err = f.each(ctx, s, c, env)
	}
	if err != nil {
		return c, err
	}
	c.check = func(ctx context.Context) (int, error) {
		n, err := s.verify(ctx, env)
		if err == nil && c.sink != nil && c.sink.orders() != n {
			err = fmt.Errorf("%d orders, %d of them have their mail", n, c.sink.orders())
		}
		return n, err
	}
	return c, nil
}

// each starts a process for every service, and those of the copies.
func (f form) each(ctx context.Context, s *servers, c *contestant, env map[string]string) error {
	base := s.plan.basePort
	var ports []int
	begin := func(name string, n, port int) error {
		own := maps.Clone(env)
		own["PORT"] = strconv.Itoa(port)
		p, err := s.start(ctx, fmt.Sprintf("%s-%d", name, n), s.millrace(), own, "serve", name)
		if err == nil {
			c.measured, ports = append(c.measured, p), append(ports, port)
		}
		return err
	}
	for i, name := range append([]string{"api-gateway", "order-service"}, consumers...) {
		if err := begin(name, 1, base+i); err != nil {
			return err
		}
	}
	for n := 2; n <= f.copies; n++ {
		for i, name := range consumers {
			port := base + 10*n + i
			if err := begin(name, n, port); err != nil {
				return err
			}
			if name == "notification-service" {
				c.handledAt = append(c.handledAt, local(port))
			}
		}
	}
	for i, p := range c.measured {
		if err := p.ready(ctx, ports[i]); err != nil {
			return err
		}
	}
	return nil
}

// one starts all services in one process, on the real servers.
func (f form) one(ctx context.Context, s *servers, c *contestant, env map[string]string) error {
	p, err := s.start(ctx, "millrace", s.millrace(), env, "up",
		"--data", filepath.Join(s.plan.out, "together"), "--base-port", strconv.Itoa(s.plan.basePort))
	if err != nil {
		return err
	}
	c.measured = []*process{p}
	return p.readyAt(ctx, s.plan.basePort)
}

// readyAt waits for all services of a process.
func (p *process) readyAt(ctx context.Context, base int) error {
	for port := base; port < base+6; port++ {
		if err := p.ready(ctx, port); err != nil {
			return err
		}
	}
	return nil
}

// up starts Millrace with everything in one process, servers included.
func up(ctx context.Context, s *servers) (*contestant, error) {
	data, err := os.MkdirTemp(s.plan.out, "embedded-")
	if err != nil {
		return nil, fmt.Errorf("folder of the embedded stack: %w", err)
	}
	base := s.plan.basePort + 100
	env := map[string]string{"LOG_LEVEL": "warn"}
	p, err := s.start(ctx, "embedded", s.millrace(), env, "up", "--data", data, "--base-port", strconv.Itoa(base))
	if err != nil {
		return nil, err
	}
	c := &contestant{name: "embedded", url: local(base), handledAt: []string{local(base + 4)}, measured: []*process{p}}
	if err := p.readyAt(ctx, base); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	c.check = func(ctx context.Context) (int, error) {
		return s.verify(ctx, env, "--data", data)
	}
	return c, nil
}

func peer(ctx context.Context, s *servers, name string, args ...string) (*contestant, error) {
	database, port := "bench_"+name, s.plan.basePort
	if err := s.database(ctx, database); err != nil {
		return nil, err
	}
	args = append([]string{"-port", strconv.Itoa(port), "-dsn", s.dsn(database)}, args...)
	p, err := s.start(ctx, name, filepath.Join(s.plan.out, "bin", name), nil, args...)
	if err != nil {
		return nil, err
	}
	c := &contestant{name: name, url: local(port), handledAt: []string{local(port)}, measured: []*process{p}}
	if err := p.ready(ctx, port); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	c.check = func(ctx context.Context) (orders int, err error) {
		err = s.sql(ctx, database, func(db *pgx.Conn) error {
			orders, err = life.Check(ctx, db)
			return err
		})
		return orders, err
	}
	return c, nil
}

// ask runs a verb of Millrace and gives what it printed.
func (s *servers) ask(ctx context.Context, env map[string]string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.millrace(), args...)
	cmd.Dir, cmd.Env = filepath.Join(s.plan.out, "empty"), environment(env)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, fmt.Errorf("millrace %s: exit %d: %s", args[0], exit.ExitCode(), exit.Stderr)
	}
	return out, err
}

// verify checks the books, and gives the number of orders. All of them must have been confirmed.
func (s *servers) verify(ctx context.Context, env map[string]string, args ...string) (int, error) {
	out, err := s.ask(ctx, env, append([]string{"verify", "--settled", "--json"}, args...)...)
	var books struct {
		Orders     struct{ Total, Confirmed int }
		Invariants []struct {
			Name       string
			OK         bool
			Violations []json.RawMessage
		}
	}
	if wrong := json.Unmarshal(out, &books); wrong != nil {
		return 0, errors.Join(err, fmt.Errorf("read what verify says: %w", wrong))
	}
	for _, i := range books.Invariants {
		if !i.OK {
			err = errors.Join(err, fmt.Errorf("%s is broken: %.500s", i.Name, i.Violations))
		}
	}
	if err == nil && books.Orders.Confirmed != books.Orders.Total {
		err = fmt.Errorf("%d of %d orders were confirmed", books.Orders.Confirmed, books.Orders.Total)
	}
	return books.Orders.Total, err
}

func local(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
