// Command river is the peer "River, tuned": an order's life as jobs in PostgreSQL. A step's rows and
// the jobs that follow from it are written in one transaction; there is no broker.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"millrace/bench/peers/front"
	"millrace/bench/peers/life"
)

func main() {
	port := flag.Int("port", 0, "where to answer HTTP")
	dsn := flag.String("dsn", "", "PostgreSQL")
	workers := flag.Int("workers", 32, "jobs at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *port, *dsn, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

// peer is everything that the jobs need.
type peer struct {
	river.WorkerDefaults[stepArgs]
	pool   *pgxpool.Pool
	front  *front.Front
	client *river.Client[pgx.Tx]
}

// stepArgs is a job: one step of one order.
type stepArgs struct {
	Step  int        `json:"step"` // index in life.Steps
	Order life.Order `json:"order"`
}

// Kind is the name under which River stores the job.
func (stepArgs) Kind() string { return "order_step" }

func run(ctx context.Context, port int, dsn string, workers int) error {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("read the address: %w", err)
	}
	config.MaxConns = 64
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer pool.Close()
	if err := prepare(ctx, pool); err != nil {
		return err
	}
	p := &peer{pool: pool}
	p.front = front.New(p.accept)
	bundle := river.NewWorkers()
	river.AddWorker(bundle, p)
	p.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}}, Workers: bundle,
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return fmt.Errorf("make River's client: %w", err)
	}
	if err := p.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	err = p.front.Serve(ctx, port)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, p.client.Stop(stopping))
}

func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer conn.Release()
	if err := life.Create(ctx, conn.Conn()); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("make River's tables: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("make River's tables: %w", err)
	}
	return nil
}

// Work does one step.
func (p *peer) Work(ctx context.Context, job *river.Job[stepArgs]) error {
	step, o := life.Steps[job.Args.Step], job.Args.Order
	var fresh int
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, step.Statement, step.Args(o, time.Now())...).Scan(&fresh); err != nil {
			return fmt.Errorf("%s of %s: %w", step.Consumer, o.ID, err)
		}
		if fresh == 0 || step.Sends == "" {
			return nil
		}
		return p.send(ctx, tx, step.Sends, o)
	})
	if err != nil || fresh == 0 {
		return err
	}
	switch step.Consumer {
	case "saga_inventory_reserved":
		p.front.Ended(o.ID, time.Now())
	case "notify_customer":
		p.front.Handled()
	}
	return nil
}

func (p *peer) accept(ctx context.Context, o life.Order) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, life.Accept, life.AcceptArgs(o, time.Now())...); err != nil {
			return fmt.Errorf("store %s: %w", o.ID, err)
		}
		return p.send(ctx, tx, life.OrderCreated, o)
	})
}

// send puts a job into the queue for every step that is about a message.
func (p *peer) send(ctx context.Context, tx pgx.Tx, message string, o life.Order) error {
	var jobs []river.InsertManyParams
	for i, step := range life.Steps {
		if step.On == message {
			jobs = append(jobs, river.InsertManyParams{Args: stepArgs{i, o}})
		}
	}
	if _, err := p.client.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("put %s of %s into the queue: %w", message, o.ID, err)
	}
	return nil
}
