package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"millrace/adapters/journal"
	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// ErrNoSaga: there is no order with that id.
var ErrNoSaga = fault.New(fault.NotFound, "saga_not_found", "there is no order with that id: `millrace saga list` shows those there are")

// journalRow is one row of saga_journal.
type journalRow struct {
	Seq        int       `db:"seq"`
	At         time.Time `db:"at"`
	MessageID  string    `db:"message_id"`
	Type       string    `db:"type"`
	Payload    string    `db:"payload"`
	Topic      string    `db:"topic"`
	Partition  int32     `db:"partition_no"`
	Offset     int64     `db:"offset_no"`
	Definition int       `db:"definition"`
	Build      string    `db:"build"`
	Outcome    string    `db:"outcome"`
	Before     string    `db:"state_before"`
	After      string    `db:"state_after"`
	Sent       string    `db:"sent"`
	Timers     string    `db:"timers"`
	Error      string    `db:"error"`
	Hash       string    `db:"hash"`
}

// Show gives the history of one order's saga, and says whether its journal is whole: behind what was
// archived, if any was. It fails with ErrNoSaga.
func (s *Sagas) Show(ctx context.Context, orderID string) (audit.History, error) {
	tx, err := open(ctx, s.db) // one snapshot: the saga may be moving
	if err != nil {
		return audit.History{}, err
	}
	defer tx.close()
	type ended struct {
		sagaRow
		State       sql.NullString `db:"state"`
		JournalSeq  sql.NullInt64  `db:"journal_seq"`
		JournalHash sql.NullString `db:"journal_hash"`
	}
	found, err := rows[ended](tx, sagaColumns+", s.state, s.journal_seq, s.journal_hash"+sagaTables+" WHERE o.id = ?", orderID)
	if err != nil {
		return audit.History{}, err
	}
	if len(found) == 0 {
		return audit.History{}, ErrNoSaga
	}
	h := audit.History{Saga: s.saga(found[0].sagaRow), Inside: []byte("null"), Journal: []audit.Entry{}, Timers: []audit.Timer{}}
	if found[0].State.Valid {
		h.Inside = []byte(found[0].State.String)
	}
	lines, err := rows[journalRow](tx, `SELECT seq, at, message_id, type, payload, topic, partition_no, offset_no, definition, build,
		outcome, state_before, state_after, sent, timers, error, hash FROM saga_journal WHERE order_id = ? ORDER BY seq`, orderID)
	if err != nil {
		return audit.History{}, err
	}
	if h.Archived, err = archived(tx, orderID); err != nil {
		return audit.History{}, err
	}
	h.Chain = chainOf(orderID, h.Archived, lines, int(found[0].JournalSeq.Int64), found[0].JournalHash.String)
	for _, line := range lines {
		e, err := line.entry()
		if err != nil {
			h.Chain = broken(h.Chain, line.Seq, err.Error())
		}
		h.Journal = append(h.Journal, e)
	}
	timers, err := rows[struct {
		Name  string    `db:"name"`
		Entry int       `db:"entry"`
		Due   time.Time `db:"due_at"`
	}](tx, "SELECT name, entry, due_at FROM saga_timers WHERE order_id = ? ORDER BY due_at", orderID)
	if err != nil {
		return audit.History{}, err
	}
	for _, t := range timers {
		h.Timers = append(h.Timers, audit.Timer{Name: t.Name, Entry: t.Entry, Due: t.Due.UTC()})
	}
	if h.Traces, err = traces(tx, h.Journal); err != nil {
		return audit.History{}, err
	}
	h.Letters, err = s.letters(ctx, tx, orderID)
	return h, err
}

// chainOf computes every hash again, from the end of what was archived on.
func chainOf(orderID string, file *audit.Archived, lines []journalRow, lastSeq int, lastHash string) audit.Chain {
	c := audit.Chain{OK: true, Entries: len(lines)}
	var hash string
	var before int
	if file != nil {
		before, hash = file.Entries, file.Hash
	}
	for i, line := range lines {
		if before > 0 && line.Seq <= before {
			return broken(c, line.Seq, "it was archived, and stands there again")
		}
		if line.Seq != before+i+1 {
			return broken(c, before+i+1, "it is missing")
		}
		e, err := line.restore(orderID)
		if err != nil {
			return broken(c, line.Seq, err.Error())
		}
		if hash, err = engine.Chain(hash, e); err != nil || hash != line.Hash {
			return broken(c, line.Seq, "its hash does not follow from what is written there and before")
		}
	}
	switch {
	case before+len(lines) != lastSeq:
		return broken(c, before+len(lines)+1, fmt.Sprintf("the journal has %d entries, the saga wrote %d", before+len(lines), lastSeq))
	case hash != lastHash:
		return broken(c, lastSeq, "the saga knows another last hash")
	}
	return c
}

func broken(c audit.Chain, seq int, why string) audit.Chain {
	if c.OK {
		c.OK, c.BrokenAt, c.Why = false, seq, why
	}
	return c
}

// restore gives the entry as the engine hashed it.
func (r journalRow) restore(orderID string) (engine.Entry, error) {
	e := engine.Entry{
		OrderID: orderID, Seq: r.Seq, At: r.At.UTC(), MessageID: r.MessageID, Type: r.Type, Payload: []byte(r.Payload),
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Definition: r.Definition, Build: r.Build,
		Outcome: r.Outcome, Before: []byte(r.Before), After: []byte(r.After), Error: r.Error,
	}
	var sent []audit.Sent
	if err := json.Unmarshal([]byte(r.Sent), &sent); err != nil {
		return e, fmt.Errorf("what it sent cannot be read: %w", err)
	}
	e.Sent = make([]engine.Sent, len(sent))
	for i, m := range sent {
		e.Sent[i] = engine.Sent{ID: m.ID, Type: m.Type, Topic: m.Topic, Data: written{m.Data, m.Type, orderID}}
	}
	if err := json.Unmarshal([]byte(r.Timers), &e.Timers); err != nil {
		return e, fmt.Errorf("its timers cannot be read: %w", err)
	}
	return e, nil
}

// written is a message as it stands in the journal: its bytes, which a newer build's struct would
// not give back.
type written struct {
	json.RawMessage
	name, order string
}

func (w written) Name() string  { return w.name }
func (w written) Order() string { return w.order }

// entry gives what is shown of a row. With an error it is what could be read.
func (r journalRow) entry() (audit.Entry, error) {
	e := audit.Entry{
		Seq: r.Seq, At: r.At.UTC(), MessageID: r.MessageID, Type: r.Type, Payload: journal.Raw(r.Payload), Topic: r.Topic,
		Partition: r.Partition, Offset: r.Offset, Definition: r.Definition, Build: r.Build, Outcome: r.Outcome,
		Before: journal.Raw(r.Before), After: journal.Raw(r.After), Error: r.Error, Hash: r.Hash,
		Held: []string{}, Sent: []audit.Sent{}, Set: []string{}, Cleared: []string{},
	}
	var before, after saga.State
	var timers engine.Timers
	for text, to := range map[string]any{r.Before: &before, r.After: &after, r.Sent: &e.Sent, r.Timers: &timers} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			return e, fmt.Errorf("it cannot be read: %w", err)
		}
	}
	e.From, e.To = before.Step.String(), after.Step.String()
	for _, h := range before.Held {
		e.Held = append(e.Held, h.Name)
	}
	for _, t := range timers.Set {
		e.Set = append(e.Set, t.Name)
	}
	for _, t := range timers.Cleared {
		e.Cleared = append(e.Cleared, t.Name)
	}
	return e, nil
}
