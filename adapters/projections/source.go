package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/sagas/replay"
)

// source is where the ends of orders come from: the journal says what was told, and the order when it was
// placed. It goes by what the shadow does not have yet, so nothing is left out, however late it was written.
type source struct {
	db      *sqldb.DB
	journal *journal.Journal
	model   model
	damage  app.Found

	elsewhere map[string]archived // ends of orders whose journals are not in the database any more
	open      []string            // orders that had not ended at the last look
	seen      int64               // SQLite: the last row of orders that was looked at
}

func newSource(db *sqldb.DB, m model) *source {
	return &source{db: db, journal: journal.New(db, 0, time.Now), model: m}
}

// archived is what a history outside of the database tells.
type archived struct {
	entries int
	hash    string // of the last
	told    *messages.OrderCompleted
}

// learn reads histories that the database may not have any more. What is damaged in itself is damage; which
// orders they count for is decided by the hashes that the database has kept.
func (s *source) learn(histories iter.Seq2[replay.History, error]) error {
	s.elsewhere = map[string]archived{}
	for h, err := range histories {
		if err != nil {
			return err
		}
		m, err := told(h)
		if err != nil {
			s.damage.Add(fmt.Sprintf("%s, of an archive: %v", h.Saga.OrderID, err))
			continue
		}
		if m != nil && len(h.Entries) > s.elsewhere[h.Saga.OrderID].entries { // it may have moved between two files
			s.elsewhere[h.Saga.OrderID] = archived{len(h.Entries), h.Entries[len(h.Entries)-1].Hash, m}
		}
	}
	return s.whole()
}

// placed is an order as it is written.
type placed struct {
	ID        string    `db:"id"`
	Status    string    `db:"status"`
	CreatedAt time.Time `db:"created_at"`
}

const placedColumns = "SELECT o.id, o.status, o.created_at FROM orders o WHERE "

// ids is a set of ids as one parameter, and the condition that one of them is meant.
func (s *source) ids(all []string) (condition string, parameter any) {
	return s.db.Dialect.Among("o.id", "text"), sqldb.Set(s.db.Dialect, all)
}

// named gives the orders with those ids.
func (s *source) named(ctx context.Context, ids []string) (map[string]placed, error) {
	condition, parameter := s.ids(ids)
	var rows []placed
	if err := s.db.Read.SelectContext(ctx, &rows, s.db.Rebind(placedColumns+condition), parameter); err != nil {
		return nil, err
	}
	found := make(map[string]placed, len(rows))
	for _, r := range rows {
		found[r.ID] = r
	}
	return found, nil
}

// missing gives the orders that are not in the shadow. In PostgreSQL it looks at all of them, each time: an
// order may be committed long after its id was made. SQLite writes one after the other, so that after the
// first look only what is new and what was open is to be looked at; the last look is made while nobody else
// can write.
func (s *source) missing(ctx context.Context) ([]placed, error) {
	t := s.model.tables[0]
	none := "NOT EXISTS (SELECT 1 FROM " + t.shadow() + " s WHERE " + t.ofOrder() + ")"
	var rows []placed
	if s.db.Dialect == sqldb.Postgres {
		err := snapshot(ctx, s.db, func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.SelectContext(ctx, &rows, placedColumns+none)
		})
		return rows, err
	}
	condition, parameter := s.ids(s.open)
	var last int64
	if err := s.db.Read.GetContext(ctx, &last, "SELECT coalesce(max(rowid), 0) FROM orders"); err != nil {
		return nil, err
	}
	err := s.db.Read.SelectContext(ctx, &rows, placedColumns+"o.rowid > ? AND "+none+" UNION ALL "+placedColumns+"o.rowid <= ? AND "+condition+" AND "+none,
		s.seen, s.seen, parameter)
	s.seen = last
	return rows, err
}

// again gives the ends of those of the orders that have ended by now, some at a time, and remembers the others.
// An order that has ended and has no history is damage: what it was told cannot be known.
func (s *source) again(ctx context.Context, orders []placed, take func([]app.Ended) error) error {
	s.open = s.open[:0]
	for chunk := range slices.Chunk(orders, chunkSize) {
		ids := make([]string, len(chunk))
		byID := make(map[string]placed, len(chunk))
		for i, o := range chunk {
			ids[i], byID[o.ID] = o.ID, o
		}
		stream, err := s.journal.Histories(ctx, audit.Query{}, ids...)
		if err != nil {
			return err
		}
		var ended []app.Ended
		for h, err := range stream.All() {
			if err != nil {
				return errors.Join(err, stream.Close())
			}
			end, ok := s.end(h, byID[h.Saga.OrderID])
			if ok {
				ended = append(ended, end)
			} else {
				s.open = append(s.open, h.Saga.OrderID)
			}
		}
		if err := stream.Close(); err != nil {
			return err
		}
		if err := take(ended); err != nil {
			return err
		}
	}
	return s.whole()
}

// end finds in a history what was told of the order's end; false when it has none. What does not fit is
// damage.
func (s *source) end(h replay.History, o placed) (app.Ended, bool) {
	m, err := s.told(h)
	terminal := messages.Ended(o.Status)
	switch {
	case err == nil && m == nil && !terminal:
		return app.Ended{}, false
	case err == nil && m == nil:
		err = fmt.Errorf("it is %s, and its history has no end", o.Status)
	case err == nil && terminal && m.Status != o.Status: // the order as it was read may be older than its history
		err = fmt.Errorf("it is %s, and its history ends with %s", o.Status, m.Status)
	}
	if err != nil {
		s.damage.Add(fmt.Sprintf("%s: %v", h.Saga.OrderID, err))
		return app.Ended{}, false
	}
	return app.EndOf(m, o.CreatedAt), true
}

// told is told for a history as the database has it, whose journal, or the beginning of it, may lie elsewhere.
func (s *source) told(h replay.History) (*messages.OrderCompleted, error) {
	known := s.elsewhere[h.Saga.OrderID]
	note := h.Saga.Archived
	if note == nil {
		if len(h.Entries) == 0 && known.entries == h.Saga.Entries && known.hash == h.Saga.Hash && known.told != nil {
			return known.told, nil
		}
		return told(h)
	}
	if len(h.Entries) > 0 || note.Entries != h.Saga.Entries || note.Hash != h.Saga.Hash {
		if err := replay.Whole(h); err != nil { // what came after it was archived is chained to the note
			return nil, err
		}
	}
	if known.told != nil && known.entries == note.Entries && known.hash == note.Hash {
		return known.told, nil
	}
	return nil, fmt.Errorf("its journal is in %s: name it with --archive", note.File)
}

// told gives the first OrderCompleted of a history, nil when there is none.
func told(h replay.History) (*messages.OrderCompleted, error) {
	if len(h.Entries) == 0 && h.Saga.Entries == 0 {
		return nil, nil //nolint:nilnil // its saga has not begun
	}
	if err := replay.Whole(h); err != nil {
		return nil, err
	}
	for _, e := range h.Entries {
		for _, sent := range e.Sent {
			if sent.Type != (messages.OrderCompleted{}).Name() {
				continue
			}
			var m messages.OrderCompleted
			if err := json.Unmarshal(sent.Data, &m); err != nil {
				return nil, &replay.Damage{Seq: e.Seq, Why: err.Error()}
			}
			return &m, nil
		}
	}
	return nil, nil //nolint:nilnil // it has not ended
}

// whole fails with ErrHistory when something was damaged.
func (s *source) whole() error {
	if s.damage.N == 0 {
		return nil
	}
	return app.ErrHistory.Because(fmt.Errorf("%d orders, such as %s; the read model is left as it is, and `millrace verify` says more",
		s.damage.N, s.damage.First[0]))
}
