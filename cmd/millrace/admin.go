package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/migrations"
	"millrace/ports/cli"
	"millrace/ports/httpapi"
)

// migrate moves every database up to this build's version, or one migration down, and gives the
// versions they are at then. With status it changes nothing.
func migrate(ctx context.Context, direction string, w cli.Where) ([]sqldb.Versions, error) {
	s, err := stateOf(w)
	if err != nil {
		return nil, err
	}
	open, move := s.openOrMake, func(context.Context, *sqldb.DB, string) error { return nil }
	switch direction {
	case "status":
		open = s.openToRead
	case "up":
		move = sqldb.Migrate
	case "down":
		move = sqldb.MigrateDown
	}
	dbs, err := openAll(ctx, open)
	if err != nil {
		return nil, err
	}
	var all []sqldb.Versions
	for _, schema := range migrations.Schemas {
		if err = move(ctx, dbs[schema], schema); err != nil {
			break
		}
		var at sqldb.Versions
		if at, err = sqldb.Status(ctx, dbs[schema], schema); err != nil {
			break
		}
		all = append(all, at)
	}
	return all, errors.Join(sqldb.Classify(err), dbs.close())
}

// seedAll puts the demonstration catalog and its stock where they are missing.
func seedAll(ctx context.Context, w cli.Where) error {
	s, err := stateOf(w)
	if err != nil {
		return err
	}
	dbs, err := openAll(ctx, s.openOrMake)
	if err != nil {
		return err
	}
	err = dbs.check(ctx)
	if err == nil {
		err = sqlstore.NewOrders(bareCore(dbs["orders"])).Seed(ctx, demoCatalog())
	}
	if err == nil {
		err = sqlstore.NewInventory(bareCore(dbs["inventory"])).Seed(ctx, demoStock())
	}
	return errors.Join(sqldb.Classify(err), dbs.close())
}

func bareCore(db *sqldb.DB) *sqlstore.Core {
	return sqlstore.NewCore(sqlstore.Config{DB: db, Now: time.Now})
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
