package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/migrations"
	"millrace/ports/cli"
)

// shownDead is how many of the rows that were given up a status names, for each database.
const shownDead = 5

// outboxes are the outboxes of the state that is meant.
type outboxes struct{ databases }

// openOutboxes opens the outboxes, beside running services too. Nobody makes one here: a database
// that is not there or at another version is an error.
func openOutboxes(ctx context.Context, w cli.Where, access cli.Access) (cli.Outbox, func() error, error) {
	_, dbs, err := openCurrent(ctx, w, access)
	if err != nil {
		return nil, nil, err
	}
	return outboxes{dbs}, dbs.close, nil
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
func (o outboxes) Status(ctx context.Context) ([]cli.OutboxStatus, error) {
	var all []cli.OutboxStatus
	for _, schema := range migrations.Schemas {
		one, err := statusOf(ctx, schema, o.databases[schema])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", schema, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func statusOf(ctx context.Context, schema string, db *sqldb.DB) (cli.OutboxStatus, error) {
	state, err := outbox.Status(ctx, db)
	if err != nil {
		return cli.OutboxStatus{}, err
	}
	dead, err := outbox.LastDead(ctx, db, shownDead)
	if err != nil {
		return cli.OutboxStatus{}, err
	}
	s := cli.OutboxStatus{
		Database: schema, Services: servicesOf(schema), Pending: state.Pending, OldestSeconds: state.Oldest.Seconds(),
		Published: state.Published, Dead: state.Dead, LastDead: []cli.DeadRow{},
	}
	for _, d := range dead {
		s.LastDead = append(s.LastDead, cli.DeadRow{
			ID: d.ID, OrderID: d.AggregateID, EventType: d.EventType, Topic: d.Topic, Reason: d.Reason, DiedAt: d.DiedAt.UTC(),
		})
	}
	return s, nil
}

// Replay makes rows pending again that were written or published since.
func (o outboxes) Replay(ctx context.Context, since time.Time) ([]cli.Replayed, error) {
	return o.again(func(db *sqldb.DB) (int64, error) { return outbox.Replay(ctx, db, since) })
}

// Revive makes rows pending again that were given up.
func (o outboxes) Revive(ctx context.Context) ([]cli.Replayed, error) {
	return o.again(func(db *sqldb.DB) (int64, error) { return outbox.Revive(ctx, db) })
}

// again does the same in every database. When one fails, those before it are done: it may be
// called again.
func (o outboxes) again(do func(*sqldb.DB) (int64, error)) ([]cli.Replayed, error) {
	var all []cli.Replayed
	for _, schema := range migrations.Schemas {
		n, err := do(o.databases[schema])
		if err != nil {
			return nil, fmt.Errorf("%s: %w: the databases before it are done, and it can be called again", schema, err)
		}
		all = append(all, cli.Replayed{Database: schema, Services: servicesOf(schema), Rows: n})
	}
	return all, nil
}
