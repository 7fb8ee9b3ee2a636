package main

import (
	"context"
	"errors"
	"os"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/sqlstore"
	"millrace/app/audit"
	"millrace/ports/cli"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
)

// operating is an operator's desk for sagas, with the audit of everything that operators have done.
type operating struct {
	*operator.Desk

	audits *sqlstore.Letters
}

// Audit lists what operators have done, in all databases.
func (o operating) Audit(ctx context.Context, f audit.RecordFilter) ([]audit.Record, error) {
	return o.audits.Audit(ctx, f)
}

// acts opens the sagas for an operator, with the databases of the participants to look into. What an act
// sends lies in the outbox of ordering, and is carried on by the relay of whichever process runs it.
func acts(ctx context.Context, w cli.Where, change bool) (cli.Acts, func() error, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, nil, err
	}
	dbs, closeAll, err := everyDatabase(ctx, c, where(w), change)
	if err != nil {
		return nil, nil, err
	}
	to, err := receivers()
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	store := sqlstore.NewOperator(coresOf(dbs)).Delivering(to)
	timeouts := engine.Timeouts{Payment: c.PaymentTimeout, Inventory: c.InventoryTimeout}
	desk := operator.NewDesk(store, engine.NewOperator(store, version, time.Now), timeouts, time.Now, sleep)
	return operating{desk, letters(dbs)}, closeAll, nil
}
