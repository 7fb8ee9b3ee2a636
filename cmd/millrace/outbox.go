package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/migrations"
	"millrace/ports/cli"
)

// shownDead is how many of the rows that were given up a status names, for each database.
const shownDead = 5

// outboxes are the outboxes of the state that is meant, in the order of the schemas.
type outboxes struct{ all []outboxOf }

type outboxOf struct {
	schema   string
	services []string
	db       *sqldb.DB
}

// openOutboxes opens the outboxes, beside running services too. Nobody makes one here: a database
// that is not there or at another version is an error.
func openOutboxes(ctx context.Context, w cli.Where, readOnly bool) (cli.Outbox, func() error, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, nil, err
	}
	o := &outboxes{}
	for _, schema := range migrations.Schemas {
		open := where(w).openToChange
		if readOnly {
			open = where(w).openToRead
		}
		db, err := open(ctx, c, schema)
		if err != nil {
			return nil, nil, errors.Join(err, o.close())
		}
		o.all = append(o.all, outboxOf{schema, servicesOf(schema), db})
		if err := sqldb.Check(ctx, db, schema); err != nil {
			return nil, nil, errors.Join(err, o.close())
		}
	}
	return o, o.close, nil
}

func (o *outboxes) close() error {
	var all []error
	for _, one := range o.all {
		all = append(all, one.db.Close())
	}
	return errors.Join(all...)
}

// servicesOf lists the services that live in a schema.
func servicesOf(schema string) []string {
	var names []string
	for _, service := range slices.Sorted(maps.Keys(schemaOf)) {
		if schemaOf[service] == schema {
			names = append(names, service)
		}
	}
	return names
}

// Status tells what lies in each outbox.
func (o *outboxes) Status(ctx context.Context) ([]cli.OutboxStatus, error) {
	var all []cli.OutboxStatus
	for _, one := range o.all {
		state, err := outbox.Status(ctx, one.db)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.schema, err)
		}
		dead, err := outbox.LastDead(ctx, one.db, shownDead)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.schema, err)
		}
		s := cli.OutboxStatus{
			Database: one.schema, Services: one.services, Pending: state.Pending, OldestSeconds: state.Oldest.Seconds(),
			Published: state.Published, Dead: state.Dead, LastDead: []cli.DeadRow{},
		}
		for _, d := range dead {
			s.LastDead = append(s.LastDead, cli.DeadRow{
				ID: d.ID, OrderID: d.AggregateID, EventType: d.EventType, Topic: d.Topic, Reason: d.Reason, DiedAt: d.DiedAt.UTC(),
			})
		}
		all = append(all, s)
	}
	return all, nil
}

// Replay makes rows pending again that were written or published since.
func (o *outboxes) Replay(ctx context.Context, since time.Time) ([]cli.Replayed, error) {
	return o.again(func(db *sqldb.DB) (int64, error) { return outbox.Replay(ctx, db, since) })
}

// Revive makes rows pending again that were given up.
func (o *outboxes) Revive(ctx context.Context) ([]cli.Replayed, error) {
	return o.again(func(db *sqldb.DB) (int64, error) { return outbox.Revive(ctx, db) })
}

// again does the same in every database. When one fails, those before it are done: it may be
// called again.
func (o *outboxes) again(do func(*sqldb.DB) (int64, error)) ([]cli.Replayed, error) {
	var all []cli.Replayed
	for _, one := range o.all {
		n, err := do(one.db)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: the databases before it are done, and it can be called again", one.schema, err)
		}
		all = append(all, cli.Replayed{Database: one.schema, Services: one.services, Rows: n})
	}
	return all, nil
}
