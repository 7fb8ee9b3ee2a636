package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/adapters/failpoint"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
)

// databaseFaults strike the databases, and the transactions in them.
func databaseFaults() []fault {
	postgres := []string{"postgres"}
	all := []fault{
		{
			name: "postgres/restarted", kind: "PostgreSQL immediate restart", on: []string{realStack}, short: both, hurts: postgres, alone: true,
			does: "SIGKILL of the server with all its backends, started again at once",
			begin: func(ctx context.Context, w *world) (blow, error) {
				return blow{
					seen: func(ctx context.Context) (string, bool) {
						return "no session is left", w.servers.admin.PingContext(ctx) != nil
					},
					heal: func(ctx context.Context) error { return w.servers.infra(ctx, "start", "postgres") },
				}, w.servers.infra(ctx, "kill", "postgres")
			},
		},
		{
			name: "postgres/terminated", kind: "backends terminated in a loop", on: []string{realStack}, short: both, hurts: postgres, alone: true,
			does: "every 300 ms for 4 s every session of Millrace is ended",
			begin: func(ctx context.Context, w *world) (blow, error) {
				ended := 0
				for range 14 {
					n, err := w.terminate(ctx)
					if err != nil {
						return blow{}, err
					}
					ended += n
					pause(ctx, 300*time.Millisecond)
				}
				return blow{seen: func(context.Context) (string, bool) { return fmt.Sprintf("%d sessions were ended", ended), ended > 20 }}, nil
			},
		},
		{
			name: "postgres/slow", kind: "PostgreSQL 500 ms away", on: []string{realStack}, hurts: postgres, alone: true,
			does: "the link to PostgreSQL delays every answer by 500 ms for 6 s",
			begin: func(_ context.Context, w *world) (blow, error) {
				return blow{
					seen: func(context.Context) (string, bool) { return "the link is slow", true }, hold: 6 * time.Second,
					heal: w.links["postgres"].quick,
				}, w.links["postgres"].slow(500)
			},
		},
		{
			name: "postgres/exhausted", kind: "connections exhausted", on: []string{realStack}, short: both, hurts: postgres, alone: true,
			does:  "all connections that PostgreSQL gives are taken for 4 s, and those of Millrace are ended",
			begin: exhaust,
		},
		{
			name: "postgres/foreign-transaction", kind: "long foreign write transaction", on: []string{realStack}, short: both, hurts: []string{"postgres-snapshot"},
			does:  "another database of the server has a transaction open that has written, for 6 s: orders go on ending meanwhile",
			begin: foreignTransaction,
		},
		{
			name: "postgres/deadlock", kind: "deadlock with a rival transaction", on: []string{realStack}, short: both, hurts: []string{"stock", messages.InventoryService},
			does:  "a rival locks rows of stock against the order in which the service does",
			begin: rivalLocks,
		},
		{
			name: "sqlite/foreign-transaction", kind: "long foreign write transaction", on: []string{embeddedStack}, short: both, hurts: []string{"sqlite"},
			does: "another process holds the write lock of every database for 2 s",
			begin: func(ctx context.Context, w *world) (blow, error) {
				for schema := range w.dbs {
					err := w.writing(ctx, schema, func(db *sqldb.DB) error {
						tx, err := db.BeginTxx(ctx, nil) // BEGIN IMMEDIATE
						if err != nil {
							return err
						}
						pause(ctx, 2*time.Second)
						return tx.Rollback()
					})
					if err != nil {
						return blow{}, err
					}
				}
				return blow{seen: func(context.Context) (string, bool) { return fmt.Sprintf("%d files were locked", len(w.dbs)), true }}, nil
			},
		},
		diskFull(),
	}
	for _, service := range messages.Consumers {
		short := where(service == messages.Orchestrator, both)
		if service == messages.OrderService {
			short = onlyEmbedded
		}
		all = append(all,
			atFailpoint("conflict/40001/"+service, "serialization failure (40001)", "six commits fail as a serialization failure does: the unit is run again",
				short, service, failpoint.BeforeCommit, "error:40001", 6),
			atFailpoint("conflict/40P01/"+service, "deadlock (40P01)", "six commits fail as the victim of a deadlock does: the unit is run again",
				where(service == messages.InventoryService, onlyEmbedded), service, failpoint.BeforeCommit, "error:40P01", 6))
	}
	return all
}

// writing lends a connection that may write.
func (w *world) writing(ctx context.Context, schema string, do func(*sqldb.DB) error) error {
	if w.opts.Stack == realStack {
		return do(w.dbs[schema])
	}
	db, err := sqldb.OpenSQLite(ctx, w.file(schema))
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// terminate ends every session of Millrace.
func (w *world) terminate(ctx context.Context) (n int, err error) {
	err = w.servers.admin.QueryRowContext(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'millrace'").Scan(&n)
	return n, err
}

// exhaust takes every connection there is, ends those of Millrace and takes theirs too.
func exhaust(ctx context.Context, w *world) (blow, error) {
	config := *w.servers.postgres
	config.RawQuery = "sslmode=disable&application_name=chaos"
	pool, err := sql.Open("pgx", config.String())
	if err != nil {
		return blow{}, err
	}
	var refused *pgconn.PgError
	taken := 0
	take := func() error {
		for taken < 1000 {
			if _, err := pool.Conn(ctx); err != nil { // given back with the pool
				if errors.As(err, &refused) && refused.Code == "53300" {
					return nil
				}
				return err
			}
			taken++
		}
		return errors.New("PostgreSQL gives connections without end")
	}
	// One session stays ours, to end the others with.
	rival, err := pool.Conn(ctx)
	if err == nil {
		err = take()
	}
	if err == nil {
		_, err = rival.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'")
	}
	if err == nil {
		err = take()
	}
	return blow{
		seen: func(context.Context) (string, bool) {
			return fmt.Sprintf("%d connections were taken, the next was refused", taken), refused != nil
		},
		hold: 4 * time.Second, heal: func(context.Context) error { return pool.Close() },
	}, err
}

// foreignTransaction is what stalls an outbox that waits for the oldest transaction of the server.
func foreignTransaction(ctx context.Context, w *world) (blow, error) {
	if _, err := w.servers.admin.ExecContext(ctx, "CREATE DATABASE rival"); err != nil && !strings.Contains(err.Error(), "42P04") {
		return blow{}, err
	}
	config := *w.servers.postgres
	config.Path = "/rival"
	rival, err := sql.Open("pgx", config.String())
	if err != nil {
		return blow{}, err
	}
	tx, err := rival.BeginTx(ctx, nil)
	if err != nil {
		return blow{}, errors.Join(err, rival.Close())
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS written (n int)"); err != nil {
		return blow{}, errors.Join(err, tx.Rollback(), rival.Close())
	}
	const done = "SELECT count(*) FROM orders WHERE status = 'CONFIRMED'"
	before, err := w.count(ctx, "orders", done)
	return blow{
		seen: func(ctx context.Context) (string, bool) {
			n, err := w.count(ctx, "orders", done)
			return fmt.Sprintf("%d orders were confirmed meanwhile, %v", n-before, err), n > before+5
		},
		hold: 6 * time.Second, heal: func(context.Context) error { return errors.Join(tx.Rollback(), rival.Close()) },
	}, err
}

// rivalLocks locks stock from the last SKU to the first until PostgreSQL has met deadlocks.
func rivalLocks(ctx context.Context, w *world) (blow, error) {
	deadlocks := func(ctx context.Context) (n int) {
		_ = w.servers.admin.QueryRowContext(ctx, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n) // 0 is not yet
		return n
	}
	before := deadlocks(ctx)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() && ctx.Err() == nil {
			tx, err := w.dbs["inventory"].BeginTxx(ctx, nil)
			if err != nil {
				pause(ctx, 100*time.Millisecond)
				continue
			}
			for n := 99; n >= 0 && err == nil; n-- {
				_, err = tx.ExecContext(ctx, "SELECT 1 FROM stock WHERE sku = $1 FOR UPDATE", spice(n))
				pause(ctx, 2*time.Millisecond)
			}
			_ = tx.Rollback() // it wanted nothing but the locks
		}
	}()
	return blow{
		seen: func(ctx context.Context) (string, bool) {
			n := deadlocks(ctx) - before
			return fmt.Sprintf("PostgreSQL met %d deadlocks", n), n > 0
		},
		heal: func(context.Context) error { stop.Store(true); <-done; return nil },
	}, nil
}

// diskFull fills the small disk of the embedded stack.
func diskFull() fault {
	return fault{
		name: "disk/full", kind: "disk full", on: []string{embeddedStack}, short: both, hurts: everybody, alone: true,
		does: "the disk under the data folder is full for 3 s, then has room again",
		able: func(w *world) error {
			if !w.disk {
				return errors.New("this machine does not let us mount a small disk")
			}
			return nil
		},
		begin: func(_ context.Context, w *world) (blow, error) {
			ballast := filepath.Join(w.data, "ballast")
			f, err := os.Create(ballast)
			if err != nil {
				return blow{}, err
			}
			page, written := make([]byte, 64<<10), 0
			for err == nil {
				var n int
				n, err = f.Write(page)
				written += n
			}
			if !errors.Is(err, syscall.ENOSPC) {
				return blow{}, errors.Join(err, f.Close())
			}
			return blow{
				seen: func(context.Context) (string, bool) { return fmt.Sprintf("%d MiB filled it", written>>20), written > 0 },
				hold: 3 * time.Second, heal: func(context.Context) error { return errors.Join(f.Close(), os.Remove(ballast)) },
			}, nil
		},
	}
}
