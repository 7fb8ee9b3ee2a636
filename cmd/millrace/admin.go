package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/migrations"
	"millrace/ports/httpapi"
)

// where says on which stored state a verb acts: a data folder, or what the environment names.
type where struct {
	Data string // "" for the environment's, where it names one
}

// openDatabase opens one schema of the state that is meant. A folder that is not there is an
// error: a verb that reads must not make one.
func (w where) openDatabase(ctx context.Context, c *config.Config, schema string, readOnly bool) (*sqldb.DB, error) {
	if w.onPostgres(c) {
		postgres := postgresConfig(c)
		postgres.ReadOnly = readOnly
		return sqldb.OpenPostgres(postgres, schema)
	}
	path := databaseFile(w.folder(), schema)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && readOnly {
		return nil, fmt.Errorf("there is no data in %s: run `millrace up` first, name its folder with --data, or set POSTGRES_HOST", w.folder())
	}
	if readOnly {
		return sqldb.OpenSQLiteReadOnly(path), nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return sqldb.OpenSQLite(ctx, path)
}

// openToRead opens one schema of the state that is meant for a verb that only reads.
func (w where) openToRead(ctx context.Context, c *config.Config, schema string) (*sqldb.DB, error) {
	return w.openDatabase(ctx, c, schema, true)
}

// openToExamine opens one schema as the services have it, where that makes nothing: a session that may only read says
// of PostgreSQL that nothing can be written.
func (w where) openToExamine(ctx context.Context, c *config.Config, schema string) (*sqldb.DB, error) {
	return w.openDatabase(ctx, c, schema, !w.onPostgres(c))
}

// openToChange opens one schema of the state that is meant for a verb that changes what is there,
// and makes nothing that is not.
func (w where) openToChange(ctx context.Context, c *config.Config, schema string) (*sqldb.DB, error) {
	there, err := w.openToRead(ctx, c, schema)
	if err != nil {
		return nil, err
	}
	if err := there.Close(); err != nil {
		return nil, err
	}
	return w.openDatabase(ctx, c, schema, false)
}

// onPostgres says whether the state is in PostgreSQL: the environment names one, and no folder was asked for.
func (w where) onPostgres(c *config.Config) bool { return w.Data == "" && c.Postgres.Host != "" }

func (w where) folder() string {
	if w.Data == "" {
		return ".millrace"
	}
	return w.Data
}

// eachDatabase runs fn on every schema in turn.
func (w where) eachDatabase(ctx context.Context, readOnly bool, fn func(schema string, db *sqldb.DB) error) error {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return err
	}
	for _, schema := range migrations.Schemas {
		db, err := w.openDatabase(ctx, c, schema, readOnly)
		if err != nil {
			return err
		}
		err = sqldb.Classify(fn(schema, db))
		if closing := db.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// migrate moves every database up to this build's version, or one migration down, and gives the
// versions they are at then. With status it changes nothing.
func migrate(ctx context.Context, direction string, w where) ([]sqldb.Versions, error) {
	var all []sqldb.Versions
	err := w.eachDatabase(ctx, direction == "status", func(schema string, db *sqldb.DB) error {
		switch direction {
		case "up":
			if err := sqldb.Migrate(ctx, db, schema); err != nil {
				return err
			}
		case "down":
			if err := sqldb.MigrateDown(ctx, db, schema); err != nil {
				return err
			}
		}
		v, err := sqldb.Status(ctx, db, schema)
		all = append(all, v)
		return err
	})
	return all, err
}

// seedAll puts the demonstration catalog and its stock where they are missing.
func seedAll(ctx context.Context, w where) error {
	return w.eachDatabase(ctx, false, func(schema string, db *sqldb.DB) error {
		if err := sqldb.Check(ctx, db, schema); err != nil {
			return err
		}
		core := sqlstore.NewCore(sqlstore.Config{DB: db, Now: time.Now})
		switch schema {
		case "orders":
			return sqlstore.NewOrders(core).Seed(ctx, demoCatalog())
		case "inventory":
			return sqlstore.NewInventory(core).Seed(ctx, demoStock())
		}
		return nil
	})
}

// servePSP runs the provider simulator alone, with its state in dir. An address without a host is
// that port on LISTEN_HOST.
func servePSP(ctx context.Context, addr, dir string) error {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return err
	}
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--listen %q: give host:port", addr)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("--listen %q: the port is not a number", addr)
	}
	l, err := listenOn(cmp.Or(host, c.ListenHost), port, "--listen")
	if err != nil {
		return err
	}
	logger := telemetry.NewLogger(os.Stderr, "json", c.LogLevel, "psp")
	sim, err := simulator.Open(dir, simulator.Options{Log: logger})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	err = httpapi.Serve(ctx, l, sim.Handler(), logger)
	return errors.Join(err, sim.Close())
}
