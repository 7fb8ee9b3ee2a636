package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

const (
	exchanges     = 5           // how often it is tried when somebody is in the way
	exchangePause = time.Second // between two of them
)

// exchange puts the shadow in the place of the live model. When somebody is in the way for longer than
// anybody should wait, it lets go and tries again.
func (r *rebuild) exchange(ctx context.Context, l *lock) error {
	for n := 1; ; n++ {
		orders, open, seen := r.report.Orders, slices.Clone(r.source.open), r.source.seen
		err := sqldb.Classify(r.exchanged(ctx, l))
		if err == nil || n == exchanges || !sqldb.OutOfTime(err) && !errors.Is(err, sqldb.ErrRetry) {
			return err
		}
		r.report.Orders, r.source.open, r.source.seen = orders, open, seen // nothing of it is there
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(exchangePause):
		}
	}
}

// exchanged is one transaction: what is missing is filled in while nobody else can record anything, and the
// tables take each other's names. PostgreSQL lets readers go on until the names change; orders are placed and
// decided all the while. In SQLite, which has one writer, they wait for this transaction.
func (r *rebuild) exchanged(ctx context.Context, l *lock) error {
	begin := r.DB.BeginTxx
	if l.conn != nil {
		begin = l.conn.BeginTxx // the session that holds the lock: whoever has lost it does not get through
	}
	tx, err := begin(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := unhurried(ctx, r.DB.Dialect, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, tx.Rebind("SELECT name FROM read_models WHERE name = ?"+r.DB.Dialect.ForUpdate()), r.name); err != nil {
		return err
	}
	if err := r.step(app.Exchange); err != nil {
		return err
	}
	if err := r.complete(ctx, tx); err != nil {
		return err
	}
	for _, t := range r.tables {
		for _, statement := range t.rename(r.DB.Dialect) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	const moved = "UPDATE read_models SET generation = generation + 1, line = '', rebuilt_at = ? WHERE name = ? RETURNING generation"
	if err := tx.GetContext(ctx, &r.report.Generation, tx.Rebind(moved), r.Now().UTC().Truncate(time.Microsecond), r.name); err != nil {
		return fmt.Errorf("the row of %s in read_models: %w", r.name, err)
	}
	if err := r.step(app.Exchanging); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	r.report.Exchanged = true
	return nil
}

// complete writes what the shadow does not have yet, and what it adds up to. Whatever the subscriber has
// recorded by now was in the journal before.
func (r *rebuild) complete(ctx context.Context, tx *sqlx.Tx) error {
	missing, err := r.source.missing(ctx)
	if err != nil {
		return err
	}
	err = r.source.again(ctx, missing, func(ended []app.Ended) error {
		results := make([]sqldb.Result, len(ended))
		for i, s := range r.inserts(ended) {
			done, err := tx.ExecContext(ctx, tx.Rebind(s.Query), s.Args...)
			if err != nil {
				return err
			}
			if results[i].Changed, err = done.RowsAffected(); err != nil {
				return err
			}
		}
		r.count(results)
		return nil
	})
	if err != nil {
		return err
	}
	r.report.Open = len(r.source.open)
	if !r.sums {
		return nil
	}
	days := r.tables[1]
	_, err = tx.ExecContext(ctx, "INSERT INTO "+days.shadow()+" ("+strings.Join(days.names(len(days.columns), ""), ", ")+") "+sumsOf(r.tables[0].shadow()))
	return err
}

// rename gives the live table the name of an old one and the shadow that of the live one. Dropping the old
// one, which may take long, is not part of it.
func (t table) rename(d sqldb.Dialect) []string {
	statements := []string{
		"ALTER TABLE " + t.name + " RENAME TO " + t.old(),
		"ALTER TABLE " + t.shadow() + " RENAME TO " + t.name,
	}
	if d == sqldb.Postgres { // there a key has a name of its own
		statements = append(statements,
			"ALTER INDEX IF EXISTS "+t.name+"_pkey RENAME TO "+t.old()+"_pkey",
			"ALTER INDEX "+t.shadow()+"_pkey RENAME TO "+t.name+"_pkey")
	}
	return statements
}
