package main

import (
	"context"
	"errors"
	"time"

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
func acts(ctx context.Context, w cli.Where, access cli.Access) (cli.Acts, func() error, error) {
	s, dbs, err := openCurrent(ctx, w, access)
	if err != nil {
		return nil, nil, err
	}
	to, err := receivers()
	if err != nil {
		return nil, nil, errors.Join(err, dbs.close())
	}
	store := sqlstore.NewOperator(coresOf(dbs)).Delivering(to)
	timeouts := engine.Timeouts{Payment: s.PaymentTimeout, Inventory: s.InventoryTimeout}
	desk := operator.NewDesk(store, engine.NewOperator(store, version, time.Now), timeouts, time.Now, sleep)
	return operating{desk, letters(dbs)}, dbs.close, nil
}
