package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"millrace/adapters/sqldb"
	"millrace/domain/order"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

var (
	sagaRow = insert("sagas", `order_id text, definition integer, step text, state text, version integer, journal_seq integer,
		journal_hash text, timeline_seq integer, entered_at timestamptz, created_at timestamptz, updated_at timestamptz`,
		`ON CONFLICT (order_id) DO UPDATE SET definition = excluded.definition, step = excluded.step, state = excluded.state, version = excluded.version,
			journal_seq = excluded.journal_seq, journal_hash = excluded.journal_hash, timeline_seq = excluded.timeline_seq,
			entered_at = excluded.entered_at, updated_at = excluded.updated_at
			WHERE sagas.version < excluded.version`).mustTakeEffect().lastPerKey()
	orderStatusRow = update("orders",
		"status = v.status, reason = v.reason, undoing = v.undoing, updated_at = v.updated_at, version = orders.version + 1",
		"orders.id = v.id", "id text, status text, reason text, undoing boolean, updated_at timestamptz").lastPerKey()
	timerRow = insert("saga_timers", "order_id text, name text, entry integer, due_at bigint", "ON CONFLICT DO NOTHING").
			writes("due_at", "{plus}")
	timerGone  = remove("saga_timers", "order_id text, name text, entry integer")
	journalRow = insert("saga_journal", `order_id text, seq integer, at timestamptz, message_id text, type text, payload text,
		topic text, partition_no integer, offset_no bigint, definition integer, build text, outcome text, state_before text,
		state_after text, sent text, timers text, error text, hash text`, "")
)

var sagas = &loader[string, sagaRecord]{"sagas", readSagas}

// Sagas is the orchestrator's state. It lies in the same database as the orders, so that saga,
// order and outgoing message change in one transaction.
type Sagas struct{ core *Core }

// NewSagas makes the store.
func NewSagas(core *Core) *Sagas {
	return &Sagas{core}
}

// Do runs fn in one transaction; see sagas/engine.Work.
func (s *Sagas) Do(ctx context.Context, fn func(engine.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&sagaTx{unit: u}) }, byOrder[sagaRecord]{sagas})
}

// Due gives up to n timers whose time has come by the database's clock.
func (s *Sagas) Due(ctx context.Context, n int) ([]engine.DueTimer, error) {
	var rows []struct {
		OrderID string `db:"order_id"`
		Name    string `db:"name"`
		Entry   int    `db:"entry"`
	}
	db := s.core.DB.Read
	query := "SELECT order_id, name, entry FROM saga_timers WHERE due_at <= " + s.core.DB.Dialect.Now() + " ORDER BY due_at LIMIT ?"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), n); err != nil {
		return nil, fmt.Errorf("read due timers: %w", sqldb.Classify(err))
	}
	due := make([]engine.DueTimer, len(rows))
	for i, r := range rows {
		due[i] = engine.DueTimer{OrderID: r.OrderID, Name: r.Name, Entry: r.Entry}
	}
	return due, nil
}

// NextDue gives how long it is until the next timer; false when there is none.
func (s *Sagas) NextDue(ctx context.Context) (time.Duration, bool, error) {
	query := "SELECT (due_at - " + s.core.DB.Dialect.Now() + ") FROM saga_timers ORDER BY due_at LIMIT 1"
	if s.core.DB.Dialect == sqldb.Postgres {
		query = "SELECT CAST(extract(epoch FROM due_at - clock_timestamp()) * 1000000 AS BIGINT) FROM saga_timers ORDER BY due_at LIMIT 1"
	}
	var micros []int64
	if err := s.core.DB.Read.SelectContext(ctx, &micros, query); err != nil {
		return 0, false, fmt.Errorf("read the next timer: %w", sqldb.Classify(err))
	}
	if len(micros) == 0 {
		return 0, false, nil
	}
	return time.Duration(micros[0]) * time.Microsecond, true, nil
}

type sagaTx struct {
	*unit
	before map[string]sagaRecord
}

// sagaRecord is an order with its saga, which is null before its first message.
type sagaRecord struct {
	ID          string     `db:"id"`
	CreatedAt   time.Time  `db:"created_at"`
	Definition  *int       `db:"definition"`
	State       *string    `db:"state"`
	Version     *int       `db:"version"`
	JournalSeq  *int       `db:"journal_seq"`
	JournalHash *string    `db:"journal_hash"`
	TimelineSeq *int       `db:"timeline_seq"`
	EnteredAt   *time.Time `db:"entered_at"`

	was *saga.State // that of State, once it was decoded
}

// Sagas locks the orders, which exist before their sagas do, and gives the sagas beside them.
func (t *sagaTx) Sagas(_ context.Context, orderIDs ...string) (map[string]*engine.Instance, error) {
	rows, err := sagas.get(t.unit, orderIDs...)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*engine.Instance, len(rows))
	t.before = make(map[string]sagaRecord, len(rows))
	for id, r := range rows {
		i := &engine.Instance{OrderID: r.ID, PlacedAt: r.CreatedAt.UTC()}
		found[id] = i
		if r.Version != nil { // its saga has begun
			_, has := saga.Of(*r.Definition) // without, its state need not be one that this build can read
			if err := json.Unmarshal([]byte(*r.State), &i.State); err != nil && has {
				return nil, fmt.Errorf("saga state of %s: %w", r.ID, err)
			}
			i.Definition, i.Version, i.EnteredAt = *r.Definition, *r.Version, r.EnteredAt.UTC()
			i.JournalSeq, i.JournalHash, i.TimelineSeq = *r.JournalSeq, *r.JournalHash, *r.TimelineSeq
			was := i.State
			r.was = &was
		}
		t.before[id] = r
	}
	return found, nil
}

// readSagas locks the orders first and reads in a statement of its own. In one statement PostgreSQL would give
// whoever waited for an order the order as it is now, and the saga beside it as it was before the wait.
func readSagas(b *batch, orderIDs []string) reading[string, sagaRecord] {
	const query = `SELECT o.id, o.created_at, s.definition, s.state, s.version, s.journal_seq, s.journal_hash, s.timeline_seq, s.entered_at
		FROM orders o LEFT JOIN sagas s ON s.order_id = o.id WHERE `
	r := byKey(new([]sagaRecord), func(r sagaRecord) string { return r.ID }, query+b.among("o.id"), b.set(orderIDs))
	if lock := b.core.DB.Dialect.ForUpdate(); lock != "" {
		locking := sqldb.Statement{Query: "SELECT FROM orders WHERE " + b.among("id") + " ORDER BY id" + lock, Args: []any{b.set(orderIDs)}}
		r.statements = slices.Insert(r.statements, 0, locking)
	}
	return r
}

func (t *sagaTx) Keep(i *engine.Instance) {
	state := jsonText(i.State)
	t.stage(sagaRow, i.OrderID, i.Definition, i.State.Step.String(), state, i.Version,
		i.JournalSeq, i.JournalHash, i.TimelineSeq, i.EnteredAt, t.now, t.now)
	sagas.put(t.unit, i.OrderID, sagaRecord{
		ID: i.OrderID, CreatedAt: i.PlacedAt, Definition: &i.Definition, State: &state, Version: &i.Version,
		JournalSeq: &i.JournalSeq, JournalHash: &i.JournalHash, TimelineSeq: &i.TimelineSeq, EnteredAt: &i.EnteredAt,
	})
	was := t.before[i.OrderID].was
	if was != nil && was.Step == i.State.Step && was.Status == i.State.Status && was.Reason == i.State.Reason {
		return
	}
	t.stage(orderStatusRow, i.OrderID, i.State.Status.String(), i.State.Reason, i.State.Step.Undoing(), t.now)
}

func (t *sagaTx) Mark(orderID string, e order.Entry) {
	t.stage(timelineRow, orderID, e.Seq, e.At, e.Event, e.Status.String(), e.EventID)
}

func (t *sagaTx) SetTimer(d engine.DueTimer, after time.Duration) {
	t.stage(timerRow, d.OrderID, d.Name, d.Entry, after.Microseconds())
}

func (t *sagaTx) ClearTimer(d engine.DueTimer) { t.stage(timerGone, d.OrderID, d.Name, d.Entry) }

func (t *sagaTx) Journal(e engine.Entry) {
	t.stage(journalRow, e.OrderID, e.Seq, e.At, e.MessageID, e.Type, string(e.Payload), e.Topic, e.Partition, e.Offset,
		e.Definition, e.Build, e.Outcome, string(e.Before), string(e.After), jsonText(e.Sent), jsonText(e.Timers), e.Error, e.Hash)
}
