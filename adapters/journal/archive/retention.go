// Package archive is the retention of the sagas' journals: what ended long ago is written into files and
// deleted from the database, in that order. It is the only one that deletes from saga_journal; the
// database refuses whatever is not archived (migrations 00014). Files are bundles of sagas/replay,
// compressed, and `millrace saga replay` reads them. Nothing that can send may be linked here.
package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/domain/fault"
	"millrace/sagas/replay"
)

// batch is how many sagas go into one file and leave the database in one transaction.
const batch = 500

// ErrDamaged: a journal is not whole. It stays in the database as it is.
var ErrDamaged = fault.New(fault.Invalid, "journal_damaged", "a journal is not whole and is not archived")

// Config says what is kept and where.
type Config struct {
	DB  *sqldb.DB     // ordering's
	Dir string        // folder of the files; made when it is missing
	Age time.Duration // for how long a journal is kept after the last that reached its saga
	Now func() time.Time
}

// Retention archives and deletes.
type Retention struct {
	Config
	reader *journal.Journal
	sync   func(dir string) error // brings the names in a folder to the disk
	looked bool                   // what an earlier run has left is done
}

// Done is what a run has archived. Sagas and entries are counted when they are deleted, damaged journals
// when they are left.
type Done struct{ Files, Sagas, Entries, Damaged int }

// New makes the retention and its folder, which it must be able to write to.
func New(c Config) (*Retention, error) {
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("JOURNAL_ARCHIVE: %w", err)
	}
	probe, err := os.CreateTemp(c.Dir, prefix+"*"+unfinished)
	if err != nil {
		return nil, fmt.Errorf("JOURNAL_ARCHIVE: %w", err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name()) // or a run beside us does
	// The folder's own name must not be lost either. One in a folder that we may not read is not of our making.
	if err := syncDir(filepath.Dir(filepath.Clean(c.Dir))); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("JOURNAL_ARCHIVE: %w", err)
	}
	return &Retention{Config: c, reader: journal.New(c.DB, 0, c.Now), sync: syncDir}, nil
}

// Run archives every journal whose saga ended, and was last reached by anything, longer ago than Age;
// except of orders of which a dead letter waits, for it may still come. Of each batch the file is on the
// disk first, and then rows and the note of where they are change in one transaction. So a run that is
// killed has lost nothing; the next one finds the file and ends what it began. A saga that moved in
// between is archived again later, in another file, from its beginning.
//
// A journal that is not whole is left alone: when everything else is done Run fails with ErrDamaged,
// which names the first of them and its entry. Beside another process's run it does nothing.
func (r *Retention) Run(ctx context.Context) (Done, error) {
	var done Done
	unlock, ours, err := r.lock(ctx)
	if err != nil || !ours {
		return done, err
	}
	defer unlock()
	if !r.looked {
		if err := r.finishEarlier(ctx, &done); err != nil {
			return done, fmt.Errorf("retention of journals: %w", err)
		}
		r.looked = true
	}
	var damaged error
	from := place{}
	for {
		due, err := r.due(ctx, from)
		if err != nil {
			return done, fmt.Errorf("retention of journals: %w", err)
		}
		if len(due) == 0 && done.Damaged > 1 {
			return done, fmt.Errorf("%w (%d journals in all)", damaged, done.Damaged)
		}
		if len(due) == 0 {
			return done, damaged
		}
		began := time.Now() // a duration, not a time of day
		broken, err := r.archive(ctx, due, &done)
		if err != nil {
			r.looked = false // there may be a file without its note
			return done, fmt.Errorf("retention of journals: %w", err)
		}
		if damaged == nil {
			damaged = broken
		}
		from = due[len(due)-1]
		if err := rest(ctx, time.Since(began)); err != nil {
			return done, err
		}
	}
}

// place is where a journal stands among all, the oldest first.
type place struct {
	At      time.Time `db:"at"`
	OrderID string    `db:"order_id"`
}

// due gives the next journals that may go.
func (r *Retention) due(ctx context.Context, from place) ([]place, error) {
	var due []place
	age := -r.Age.Microseconds()
	err := r.DB.Read.SelectContext(ctx, &due, r.DB.Rebind(dueQuery(r.DB.Dialect)), from.At.UTC(), from.OrderID, age, age, batch)
	return due, sqldb.Classify(err)
}

// dueQuery walks along the beginnings of the journals that are still there. The clock is read in queries of
// their own, or PostgreSQL would read it for every row and leave the index aside.
func dueQuery(d sqldb.Dialect) string {
	before := "(SELECT " + d.NowPlus("?") + ")"
	return `SELECT j.at, j.order_id FROM saga_journal j JOIN sagas s ON s.order_id = j.order_id
		WHERE j.seq = 1 AND (j.at, j.order_id) > (?, ?) AND j.at < ` + before + `
			AND s.step IN ('confirmed', 'failed', 'cancelled') AND s.updated_at < ` + before + `
			AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.order_id = j.order_id AND d.state IN ('waiting', 'parked', 'redriving'))
		ORDER BY j.at, j.order_id LIMIT ?`
}

// takeAway deletes what a file holds.
const takeAway = `DELETE FROM saga_journal WHERE order_id IN (SELECT order_id FROM saga_archives WHERE file = ?)
	AND seq <= (SELECT a.entries FROM saga_archives a WHERE a.order_id = saga_journal.order_id)`

// archive writes the journals that are whole into a file, and takes them out of the database.
func (r *Retention) archive(ctx context.Context, due []place, done *Done) (damaged, err error) {
	ids := make([]string, len(due))
	for i, d := range due {
		ids[i] = d.OrderID
	}
	all, damaged, err := r.read(ctx, ids, done)
	if err != nil || len(all) == 0 {
		return damaged, err
	}
	name, err := r.write(all)
	if err != nil {
		return damaged, err
	}
	done.Files++
	return damaged, r.remove(ctx, name, all, done)
}

// read gives the histories that are whole. A batch of them is held in memory: each has a few entries.
func (r *Retention) read(ctx context.Context, ids []string, done *Done) (all []replay.History, damaged, err error) {
	stream, err := r.reader.Histories(ctx, everySaga, ids...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = stream.Close() }()
	for h, err := range stream.All() {
		if err != nil {
			return nil, damaged, err
		}
		if h.Saga.Archived != nil {
			continue // by a run of another process, since we asked
		}
		if err := replay.Whole(h); err != nil {
			if done.Damaged++; damaged == nil {
				damaged = ErrDamaged.Because(fmt.Errorf("%s: %w: look at it with `millrace saga show %s`", h.Saga.OrderID, err, h.Saga.OrderID))
			}
			continue
		}
		all = append(all, h)
	}
	return all, damaged, stream.Close()
}

// remove notes that the journals lie in a file and deletes them, in one transaction. A saga that has
// moved since it was written there is left as it is.
func (r *Retention) remove(ctx context.Context, file string, all []replay.History, done *Done) error {
	note := r.DB.Rebind(`INSERT INTO saga_archives (order_id, entries, hash, file, archived_at)
		SELECT s.order_id, s.journal_seq, s.journal_hash, ?, ` + r.DB.Dialect.Now() + ` FROM sagas s
		WHERE s.order_id = ? AND s.journal_seq = ? AND s.journal_hash = ? AND s.step IN ('confirmed', 'failed', 'cancelled')
			AND NOT EXISTS (SELECT 1 FROM saga_archives a WHERE a.order_id = s.order_id)
		ON CONFLICT DO NOTHING`)
	var sagas, entries int64
	err := r.DB.InTx(ctx, func(tx *sqlx.Tx) error {
		sagas = 0
		for _, h := range all {
			result, err := tx.ExecContext(ctx, note, file, h.Saga.OrderID, h.Saga.Entries, h.Saga.Hash)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			sagas += n
		}
		result, err := tx.ExecContext(ctx, r.DB.Rebind(takeAway), file)
		if err != nil {
			return err
		}
		entries, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return fmt.Errorf("delete what %s holds: %w", file, sqldb.Classify(err))
	}
	done.Sagas += int(sagas)
	done.Entries += int(entries)
	return nil
}

// lock makes sure that no other process archives at the same time. An SQLite file has one process.
func (r *Retention) lock(ctx context.Context) (unlock func(), ours bool, err error) {
	if r.DB.Dialect == sqldb.SQLite {
		return func() {}, true, nil
	}
	conn, err := r.DB.Connx(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("retention of journals: %w", sqldb.Classify(err))
	}
	key := LockKey(r.DB.Name)
	if err := conn.GetContext(ctx, &ours, "SELECT pg_try_advisory_lock($1)", key); err != nil || !ours {
		return nil, false, errors.Join(sqldb.Classify(err), conn.Close())
	}
	return func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_, _ = conn.ExecContext(end, "SELECT pg_advisory_unlock($1)", key) // a connection that was lost has given it back
		_ = conn.Close()
	}, true, nil
}

// LockKey numbers a schema's lock, which whoever archives holds.
func LockKey(schema string) int64 { return sqldb.AdvisoryKey("millrace/journal/" + schema) }

// rest leaves the database to others for as long as it was used.
func rest(ctx context.Context, d time.Duration) error {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
