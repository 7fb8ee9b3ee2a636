package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	books "millrace/adapters/audit"
	"millrace/adapters/config"
	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/migrations"
	"millrace/ports/cli"
)

// verify checks the books of the state that is meant: all four databases and the provider's ledger.
func verify(ctx context.Context, w cli.Where, settled bool) (audit.Report, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return audit.Report{}, err
	}
	dbs := map[string]*sqldb.DB{}
	defer func() {
		for _, db := range dbs {
			_ = db.Close()
		}
	}()
	for _, schema := range migrations.Schemas {
		if dbs[schema], err = where(w).openDatabase(ctx, c, schema, true); err != nil {
			delete(dbs, schema)
			return audit.Report{}, err
		}
	}
	return books.New(books.Config{
		Databases: books.Databases{
			Ordering: dbs["orders"], Payments: dbs["payments"], Inventory: dbs["inventory"], Notifications: dbs["notifications"],
		},
		Ledger: ledger(c, where(w)), NoLedger: noLedger, OutboxRetention: c.OutboxRetention, InboxRetention: c.InboxRetention,
	}).Verify(ctx, settled)
}

// noLedger is why there may be no ledger of the provider.
const noLedger = "with PSP_URL=" + config.PSPInProcess + " the provider is a function call that keeps no ledger"

// ledger is the provider's: nil where it keeps none, over HTTP where it has an address, and from its folder
// beside the embedded data otherwise.
func ledger(c *config.Config, w where) books.Ledger {
	client := &http.Client{Timeout: time.Minute}
	switch {
	case c.PSPURL == config.PSPInProcess:
		return nil
	case c.PSPURL != "":
		return books.LedgerOverHTTP(client, c.PSPURL)
	case w.onPostgres(c):
		return books.LedgerOverHTTP(client, providerBeside(c, w.folder()))
	default:
		return books.LedgerOnDisk(filepath.Join(w.folder(), "psp"), time.Now)
	}
}

// providerBeside says where the provider of what is in PostgreSQL is asked when no setting does: at the `up` that
// runs on that database with this folder, whatever its ports are, or where `serve` would look for it.
func providerBeside(c *config.Config, folder string) string {
	if up, runs := holderOfFolder(folder); runs && up.postgres == postgresOf(c) && up.provider != "" {
		return up.provider
	}
	return "http://" + address(defaultPort+pspPort)
}

// sagas opens the sagas for reading, with the databases in which dead letters of their orders may lie.
func sagas(ctx context.Context, w cli.Where) (cli.Sagas, func() error, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, nil, err
	}
	var all []*sqldb.DB
	closeAll := func() (err error) {
		for _, db := range all {
			err = errors.Join(err, db.Close())
		}
		return err
	}
	for _, schema := range []string{"orders", "payments", "inventory", "notifications"} {
		db, err := where(w).openDatabase(ctx, c, schema, true)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		all = append(all, db)
	}
	if err := journal.Check(ctx, all[0]); err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	return books.NewSagas(all[0], patienceOf(c), time.Now).Beside(all[1:]...), closeAll, nil
}
