package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	books "millrace/adapters/audit"
	"millrace/adapters/config"
	"millrace/adapters/journal"
	"millrace/app/audit"
	"millrace/ports/cli"
)

// verify checks the books of the state that is meant: all four databases and the provider's ledger.
func verify(ctx context.Context, w cli.Where, settled bool) (audit.Report, error) {
	s, err := stateOf(w)
	if err != nil {
		return audit.Report{}, err
	}
	dbs, err := openAll(ctx, s.openToRead)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = dbs.close() }() // they were only read
	return books.New(books.Config{
		Databases: books.Databases{
			Ordering: dbs["orders"], Payments: dbs["payments"], Inventory: dbs["inventory"], Notifications: dbs["notifications"],
		},
		Ledger: s.ledger(), NoLedger: noLedger, OutboxRetention: s.OutboxRetention, InboxRetention: s.InboxRetention,
	}).Verify(ctx, settled)
}

// noLedger is why there may be no ledger of the provider.
const noLedger = "with PSP_URL=" + config.PSPInProcess + " the provider is a function call that keeps no ledger"

// ledger is the provider's: nil where it keeps none, over HTTP where it has an address, and from its folder
// beside the embedded data otherwise.
func (s state) ledger() books.Ledger {
	client := &http.Client{Timeout: time.Minute}
	switch {
	case s.PSPURL == config.PSPInProcess:
		return nil
	case s.PSPURL != "":
		return books.LedgerOverHTTP(client, s.PSPURL)
	case s.onPostgres():
		return books.LedgerOverHTTP(client, providerBeside(s.Config, s.folder()))
	default:
		return books.LedgerOnDisk(filepath.Join(s.folder(), "psp"), time.Now)
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

// sagas opens the sagas for reading, with the databases in which dead letters of their orders may lie. They
// need not be at this build's version.
func sagas(ctx context.Context, w cli.Where, _ cli.Access) (cli.Sagas, func() error, error) {
	s, err := stateOf(w)
	if err != nil {
		return nil, nil, err
	}
	dbs, err := openAll(ctx, s.openToRead)
	if err != nil {
		return nil, nil, err
	}
	ordering := dbs["orders"]
	if err := journal.Check(ctx, ordering); err != nil {
		return nil, nil, errors.Join(err, dbs.close())
	}
	all := books.NewSagas(ordering, patienceOf(s.Config), time.Now).Beside(dbs["payments"], dbs["inventory"], dbs["notifications"])
	return all, dbs.close, nil
}
