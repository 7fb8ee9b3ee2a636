// Package journal reads the histories of sagas for replay, and can do nothing else: it opens no
// transaction that may write, and links no publisher, mail, provider or Kafka client. A test proves
// the latter from the list of everything that is linked.
package journal

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/sagas/replay"
)

// Journal is ordering's database, which may be open for reading only.
type Journal struct {
	db         *sqldb.DB
	stuckAfter time.Duration
	now        func() time.Time
}

// New makes the reader. A saga that is open and has stood in its step for longer than stuckAfter
// (0 for two minutes) is stuck.
func New(ordering *sqldb.DB, stuckAfter time.Duration, now func() time.Time) *Journal {
	return &Journal{ordering, cmp.Or(stuckAfter, 2*time.Minute), now}
}

// ErrNoSaga: no order has that id.
var ErrNoSaga = fault.New(fault.NotFound, "saga_not_found", "there is no order with that id: `millrace saga list` shows those there are")

// Histories opens the histories of those orders, or, without ids, of the sagas that a query
// chooses, as they are at one moment. An order whose saga has not begun is given with an empty
// history when it is named, and is not chosen otherwise; so is one whose journal is archived, which
// says in which file. It fails with ErrNoSaga when one of the ids is of no order.
//
// The stream is to be read to its end, or closed.
func (j *Journal) Histories(ctx context.Context, q audit.Query, orderIDs ...string) (*Stream, error) {
	orderIDs = slices.Compact(slices.Sorted(slices.Values(orderIDs)))
	tx, err := j.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stream{ctx: ctx, tx: tx}
	if len(orderIDs) > 0 {
		s.where = " WHERE o.id IN (?" + strings.Repeat(", ?", len(orderIDs)-1) + ")"
		for _, id := range orderIDs {
			s.args = append(s.args, id)
		}
	} else {
		s.where, s.args = Where(q, j.now().UTC(), j.stuckAfter)
		s.where = strings.TrimPrefix(s.where+" AND s.order_id IS NOT NULL AND (a.order_id IS NULL OR s.journal_seq > a.entries)", " AND ")
		if len(s.args) == 0 {
			s.where = " WHERE " + s.where
		}
	}
	err = tx.QueryRowContext(ctx, tx.Rebind("SELECT count(*), coalesce(sum(n.entries), 0) FROM (SELECT o.id, (SELECT count(*) FROM saga_journal j WHERE j.order_id = o.id) AS entries"+
		tables+s.where+") n"), s.args...).Scan(&s.Sagas, &s.Entries)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("count journals: %w", sqldb.Classify(err)), s.Close())
	}
	if len(orderIDs) > 0 && s.Sagas != len(orderIDs) {
		return nil, errors.Join(ErrNoSaga, s.Close())
	}
	return s, nil
}

// Newest gives when a saga last moved, by the clock of the orchestrator that moved it; no time at all when none
// has begun. That clock may be another one than ours.
func (j *Journal) Newest(ctx context.Context) (time.Time, error) {
	var newest time.Time
	err := j.db.Read.GetContext(ctx, &newest, "SELECT updated_at FROM sagas ORDER BY updated_at DESC LIMIT 1")
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", j.db.Name, sqldb.Classify(err))
	}
	return newest.UTC(), nil
}

// snapshot is a transaction that cannot write.
func (j *Journal) snapshot(ctx context.Context) (*sqlx.Tx, error) {
	options := &sql.TxOptions{ReadOnly: true}
	if j.db.Dialect == sqldb.Postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := j.db.Read.BeginTxx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", j.db.Name, sqldb.Classify(err))
	}
	if j.db.Dialect == sqldb.Postgres { // its limits are made for short transactions; this one is long and locks nothing
		for _, setting := range []string{"statement_timeout = 0", "idle_in_transaction_session_timeout = 0"} {
			if _, err := tx.ExecContext(ctx, "SET LOCAL "+setting); err != nil {
				return nil, errors.Join(fmt.Errorf("read %s: %w", j.db.Name, sqldb.Classify(err)), tx.Rollback())
			}
		}
	}
	return tx, nil
}

const tables = " FROM orders o LEFT JOIN sagas s ON s.order_id = o.id LEFT JOIN saga_archives a ON a.order_id = o.id"

// Stream is a set of histories.
type Stream struct {
	Sagas   int // how many there are
	Entries int // of all of them

	ctx   context.Context
	tx    *sqlx.Tx
	where string
	args  []any
}

// Close ends the snapshot.
func (s *Stream) Close() error {
	if err := s.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}

// row is an entry beside its saga. All of the entry is null for a saga without one.
type row struct {
	OrderID     string         `db:"id"`
	Definition  sql.NullInt64  `db:"saga_definition"`
	State       sql.NullString `db:"state"`
	JournalSeq  sql.NullInt64  `db:"journal_seq"`
	JournalHash sql.NullString `db:"journal_hash"`

	Archived     sql.NullInt64  `db:"archived"`
	ArchivedHash sql.NullString `db:"archived_hash"`
	File         sql.NullString `db:"file"`

	Seq       sql.NullInt64  `db:"seq"`
	At        sql.NullTime   `db:"at"`
	MessageID sql.NullString `db:"message_id"`
	Type      sql.NullString `db:"type"`
	Payload   sql.NullString `db:"payload"`
	Topic     sql.NullString `db:"topic"`
	Partition sql.NullInt32  `db:"partition_no"`
	Offset    sql.NullInt64  `db:"offset_no"`
	Decided   sql.NullInt64  `db:"definition"`
	Build     sql.NullString `db:"build"`
	Outcome   sql.NullString `db:"outcome"`
	Before    sql.NullString `db:"state_before"`
	After     sql.NullString `db:"state_after"`
	Sent      sql.NullString `db:"sent"`
	Timers    sql.NullString `db:"timers"`
	Error     sql.NullString `db:"error"`
	Hash      sql.NullString `db:"hash"`
}

// All gives one history after another, by order id, and holds one at a time. What is written
// there is given as it is; whether it is whole is for replay to say.
func (s *Stream) All() iter.Seq2[replay.History, error] {
	return func(yield func(replay.History, error) bool) {
		rows, err := s.tx.QueryxContext(s.ctx, s.tx.Rebind(`SELECT o.id, s.definition AS saga_definition, s.state, s.journal_seq, s.journal_hash,
			a.entries AS archived, a.hash AS archived_hash, a.file,
			j.seq, j.at, j.message_id, j.type, j.payload, j.topic, j.partition_no, j.offset_no, j.definition, j.build, j.outcome,
			j.state_before, j.state_after, j.sent, j.timers, j.error, j.hash`+tables+
			" LEFT JOIN saga_journal j ON j.order_id = o.id"+s.where+" ORDER BY o.id, j.seq"), s.args...)
		if err != nil {
			yield(replay.History{}, fmt.Errorf("read journals: %w", sqldb.Classify(err)))
			return
		}
		defer func() { _ = rows.Close() }()
		var h replay.History
		for rows.Next() {
			var r row
			if err := rows.StructScan(&r); err != nil {
				yield(replay.History{}, fmt.Errorf("read journals: %w", sqldb.Classify(err)))
				return
			}
			if r.OrderID != h.Saga.OrderID {
				if h.Saga.OrderID != "" && !yield(h, nil) {
					return
				}
				h = replay.History{Saga: r.saga()}
			}
			if r.Seq.Valid {
				h.Entries = append(h.Entries, r.entry())
			}
		}
		if err := rows.Err(); err != nil {
			yield(replay.History{}, fmt.Errorf("read journals: %w", sqldb.Classify(err)))
			return
		}
		if h.Saga.OrderID != "" {
			yield(h, nil)
		}
	}
}

func (r row) saga() replay.Saga {
	s := replay.Saga{
		OrderID: r.OrderID, Definition: int(r.Definition.Int64), State: Raw(cmp.Or(r.State.String, "null")),
		Entries: int(r.JournalSeq.Int64), Hash: r.JournalHash.String,
	}
	if r.Archived.Valid {
		s.Archived = &replay.Archived{Entries: int(r.Archived.Int64), Hash: r.ArchivedHash.String, File: r.File.String}
	}
	return s
}

// entry gives a row as it was hashed. What cannot be read stays away: the hash does not fit then.
func (r row) entry() replay.Entry {
	e := replay.Entry{
		OrderID: r.OrderID, Seq: int(r.Seq.Int64), At: r.At.Time.UTC(), MessageID: r.MessageID.String, Type: r.Type.String,
		Payload: Raw(r.Payload.String), Topic: r.Topic.String, Partition: r.Partition.Int32, Offset: r.Offset.Int64,
		Definition: int(r.Decided.Int64), Build: r.Build.String, Outcome: r.Outcome.String,
		Before: Raw(r.Before.String), After: Raw(r.After.String), Error: r.Error.String, Hash: r.Hash.String,
	}
	if json.Unmarshal([]byte(r.Sent.String), &e.Sent) != nil || json.Unmarshal([]byte(r.Timers.String), &e.Timers) != nil {
		e.Sent, e.Hash = nil, ""
	}
	return e
}

// Raw is a stored text as JSON. One that is damaged stays readable, as a JSON string.
func Raw(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage("null")
	}
	return quoted
}
