package main

import (
	"context"
	"errors"
	"os"
	"time"

	"millrace/adapters/config"
	readmodels "millrace/adapters/projections"
	"millrace/adapters/sqldb"
	"millrace/app/analytics"
	"millrace/app/messages"
	"millrace/ports/cli"
)

// readModelsOf are the read models of the state that is meant.
type readModelsOf struct {
	*readmodels.Reader
	db *sqldb.DB
}

// projections opens the read models, beside running services too.
func projections(ctx context.Context, w cli.Where, readOnly bool) (cli.Projections, func() error, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, nil, err
	}
	schema := schemaOf[messages.OrderService]
	open := where(w).openToChange
	if readOnly {
		open = where(w).openToRead
	}
	db, err := open(ctx, c, schema)
	if err != nil {
		return nil, nil, err
	}
	if err := sqldb.Check(ctx, db, schema); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return readModelsOf{readmodels.NewReader(db), db}, db.Close, nil
}

// Rebuild makes a read model anew.
func (m readModelsOf) Rebuild(ctx context.Context, model string, o cli.RebuildOptions) (analytics.Rebuilt, error) {
	return readmodels.Rebuild(ctx, model, readmodels.Config{DB: m.db, Now: time.Now, Watch: o.Watch, Patience: o.Patience, Archived: o.Archived, OnlyCompare: o.OnlyCompare})
}
