package main

import (
	"context"
	"errors"
	"time"

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
func projections(ctx context.Context, w cli.Where, access cli.Access) (cli.Projections, func() error, error) {
	s, err := stateOf(w)
	if err != nil {
		return nil, nil, err
	}
	schema := schemaOf[messages.OrderService]
	db, err := s.open(ctx, schema, access)
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
