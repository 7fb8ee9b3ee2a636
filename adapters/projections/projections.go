// Package projections rebuilds read models from the sagas' journal: into a shadow beside the model that
// serves, which is compared with it and takes its place in one transaction.
//
// Nothing happens again. It reads the journal and the orders, writes its own shadow tables, and links no
// publisher, mail, provider or Kafka client; a test proves the latter from the list of everything that is
// linked. What an order's end means for a model is decided in app/analytics, for the subscriber too.
package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
	"millrace/sagas/replay"
)

// Config is what a rebuild needs.
type Config struct {
	DB  *sqldb.DB // ordering's, to be written; its owner, in PostgreSQL, since tables are made
	Now func() time.Time

	// Watch hears of every step when it begins, and of Fill's progress. An error of its ends the rebuild there.
	Watch func(app.Progress) error
	// Patience is how long a row that differs is looked at again before it counts: the live model is a little
	// behind. 0 for 10 s.
	Patience time.Duration
	// Archived are histories whose journals may not be in the database any more; nil for none. One counts where
	// the database knows its last hash.
	Archived iter.Seq2[replay.History, error]
	// OnlyCompare leaves the live model as it is, and one that is gone away. Lists are not read from it any more
	// where it lacks orders.
	OnlyCompare bool
}

// rebuild is one run.
type rebuild struct {
	Config
	model
	source *source
	report app.Rebuilt
	gone   map[string]bool // live tables that are not there, and are left so
}

// Rebuild makes a read model anew and puts it in the place of the one that serves. However it ends, a whole
// model serves: the old one until the last transaction is committed, the new one from then on. It fails with
// ErrUnknownModel, with ErrRebuilding while somebody else does the same, and with ErrHistory, naming the
// first orders, when the journal cannot tell all. What an earlier one has left behind is thrown away.
func Rebuild(ctx context.Context, name string, c Config) (app.Rebuilt, error) {
	m, ok := models[name]
	if !ok {
		return app.Rebuilt{}, app.ErrUnknownModel.Because(fmt.Errorf("%q: there are %v", name, app.Models))
	}
	if c.Watch == nil {
		c.Watch = func(app.Progress) error { return nil }
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	begun := time.Now() // a duration, not a time of day
	r := &rebuild{Config: c, model: m, source: newSource(c.DB, m), gone: map[string]bool{}}
	r.report = app.Rebuilt{Model: name, Missing: app.Found{First: []string{}}, Extra: app.Found{First: []string{}}, Different: app.Found{First: []string{}}}

	if c.Archived != nil {
		if err := r.source.learn(c.Archived); err != nil {
			return r.report, err
		}
	}
	lock, err := takeLock(ctx, c.DB, name)
	if err != nil {
		return r.report, err
	}
	if err = r.run(ctx, lock); err != nil {
		_ = r.tidy(context.WithoutCancel(ctx)) // the next one does it, where this one cannot
	}
	r.report.Seconds = time.Since(begun).Seconds()
	return r.report, errors.Join(sqldb.Classify(err), lock.release(context.WithoutCancel(ctx)))
}

func (r *rebuild) run(ctx context.Context, lock *lock) error {
	if err := r.step(app.Prepare); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return fmt.Errorf("make the shadow of %s: %w", r.name, err)
	}
	if err := r.fill(ctx); err != nil {
		return fmt.Errorf("fill the shadow of %s: %w", r.name, err)
	}
	if err := r.step(app.CatchUp); err != nil {
		return err
	}
	if err := r.catchUp(ctx); err != nil {
		return fmt.Errorf("catch up with the journal: %w", err)
	}
	if err := r.step(app.Compare); err != nil {
		return err
	}
	if err := r.compare(ctx); err != nil {
		return fmt.Errorf("compare %s with its shadow: %w", r.name, err)
	}
	if r.OnlyCompare {
		const serves = "SELECT generation FROM read_models WHERE name = ?"
		return errors.Join(r.DB.Read.GetContext(ctx, &r.report.Generation, r.DB.Rebind(serves), r.name), r.tidy(ctx))
	}
	if err := r.exchange(ctx, lock); err != nil {
		return fmt.Errorf("exchange %s: %w", r.name, err)
	}
	if err := r.step(app.Exchanged); err != nil {
		return err
	}
	if err := r.tidy(ctx); err != nil {
		return fmt.Errorf("tidy up behind the rebuild of %s, which is done: %w", r.name, err)
	}
	return r.step(app.Tidied)
}

func (r *rebuild) step(s app.Step) error { return r.Watch(app.Progress{Step: s}) }

// prepare makes empty shadow tables, and a live one that is gone unless that is to be left as it is.
func (r *rebuild) prepare(ctx context.Context) error {
	if err := r.tidy(ctx); err != nil {
		return err
	}
	for _, t := range r.tables {
		there, err := r.there(ctx, t)
		if err == nil && !there {
			if r.gone[t.name] = r.OnlyCompare; !r.OnlyCompare {
				err = r.beginAnew(ctx, t)
			}
		}
		if err != nil {
			return err
		}
		if _, err := r.DB.ExecContext(ctx, t.create(t.shadow(), r.DB.Dialect)); err != nil {
			return err
		}
	}
	return nil
}

// there says whether the live table is.
func (r *rebuild) there(ctx context.Context, t table) (bool, error) {
	query := "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?"
	if r.DB.Dialect == sqldb.Postgres {
		query = "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?"
	}
	var there bool
	err := r.DB.GetContext(ctx, &there, r.DB.Rebind(query), t.name)
	return there, err
}

// beginAnew makes a live table that is gone. It is empty, so nothing may be read from it below the
// watermark, which goes back in the same transaction.
func (r *rebuild) beginAnew(ctx context.Context, t table) error {
	return r.DB.InTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, tx.Rebind("UPDATE read_models SET line = '' WHERE name = ?"), r.name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, t.create("IF NOT EXISTS "+t.name, r.DB.Dialect))
		return err
	})
}

// serving is what to read a live table from: one that is gone is as one that is empty.
func (r *rebuild) serving(t table) string {
	if r.gone[t.name] {
		return "(SELECT * FROM " + t.shadow() + " WHERE FALSE)"
	}
	return t.name
}

// tidy drops what is not the live model.
func (r *rebuild) tidy(ctx context.Context) error {
	for _, t := range r.tables {
		for _, name := range []string{t.shadow(), t.old()} {
			if _, err := r.DB.ExecContext(ctx, "DROP TABLE IF EXISTS "+name); err != nil {
				return err
			}
		}
	}
	return nil
}
