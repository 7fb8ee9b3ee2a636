package main

import (
	"context"
	"errors"
	"os"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/journal"
	"millrace/app/audit"
	"millrace/ports/cli"
	"millrace/sagas/engine"
)

// histories opens the journals of sagas for reading, as they are at one moment.
func histories(ctx context.Context, w cli.Where, q audit.Query, orderIDs ...string) (*cli.Histories, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, err
	}
	db, err := where(w).openDatabase(ctx, c, "orders", true)
	if err != nil {
		return nil, err
	}
	if err := journal.Check(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	patience := stuckAfter(engine.Timeouts{Payment: c.PaymentTimeout, Inventory: c.InventoryTimeout})
	stream, err := journal.New(db, patience, time.Now).Histories(ctx, q, orderIDs...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &cli.Histories{
		Sagas: stream.Sagas, Entries: stream.Entries, All: stream.All(),
		Close: func() error { return errors.Join(stream.Close(), db.Close()) },
	}, nil
}
