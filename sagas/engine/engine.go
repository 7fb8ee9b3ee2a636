package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	domain "millrace/domain/order"
	saga "millrace/sagas/order"
)

// Engine handles every message and timer of the sagas.
type Engine struct {
	work     Work
	timeouts Timeouts
	observer Observer
	build    string
	now      func() time.Time
}

// New makes the engine. Build names the running build in the journal.
func New(work Work, timeouts Timeouts, observer Observer, build string, now func() time.Time) *Engine {
	return &Engine{work, timeouts, observer, build, now}
}

// Handle takes a message to its saga. It fails with ErrNoOrder for an order that was never
// accepted. An attempt that fails is journalled too, in a transaction of its own, unless the
// database itself is away.
func (e *Engine) Handle(ctx context.Context, m messages.Message) error {
	return e.turn(ctx, m, messages.CauseOf(ctx))
}

// turn decides, and journals an attempt that failed. A panic is such an attempt, and stays a panic.
func (e *Engine) turn(ctx context.Context, m messages.Message, cause messages.Cause) error {
	ended := false
	defer func() {
		if ended {
			return
		}
		p := recover()
		_ = e.journalFailure(ctx, m, cause, fmt.Errorf("panic: %v", p)) // nobody is left to be told but by the panic
		panic(p)
	}()
	err := e.decide(ctx, saga.Input{ID: cause.MessageID, Message: m}, cause)
	ended = true
	if err != nil && worthAnEntry(err) {
		err = errors.Join(err, e.journalFailure(ctx, m, cause, err))
	}
	return err
}

// Fire takes a timer that is due to its saga.
func (e *Engine) Fire(ctx context.Context, t DueTimer) error {
	id := messages.DerivedID(t.OrderID+"/"+t.Name, "timer", t.Entry)
	cause := messages.Cause{
		Consumer: messages.Orchestrator + ".timers", MessageID: id, CausationID: id, CorrelationID: t.OrderID,
	}
	timedOut := saga.TimedOut{OrderID: t.OrderID, Timer: saga.Timer{Name: t.Name, Entry: t.Entry}}
	cause.Handler, cause.Type = "saga_timers", timedOut.Name()
	ctx = messages.WithCause(ctx, cause)
	return e.turn(ctx, timedOut, cause)
}

// decide is one turn of the saga: load, decide, save, in one transaction.
func (e *Engine) decide(ctx context.Context, in saga.Input, cause messages.Cause) error {
	orderID := in.Message.Order()
	var completed *messages.OrderCompleted
	var placedAt time.Time
	now := e.now().UTC().Truncate(time.Microsecond)
	err := e.work.Do(ctx, func(tx Tx) error {
		completed = nil
		i, by, err := load(ctx, tx, orderID)
		if errors.Is(err, errEnded) { // absorbed, without an entry: what is stored of it may be more than was read
			clearFired(tx, orderID, in.Message)
			return nil
		}
		if err != nil {
			return err
		}
		placedAt = i.PlacedAt
		d := by.Decide(i.State, in)
		if err := e.carryOut(tx, i, d, in.Message, cause, now); err != nil {
			return err
		}
		completed = completion(d.Send)
		return nil
	})
	if err != nil {
		return fmt.Errorf("saga of %s on %s: %w", orderID, in.Message.Name(), err)
	}
	if completed != nil {
		e.observer.OrderCompleted(completed.Status, completed.Reason, now.Sub(placedAt))
	}
	return nil
}

// carryOut stages all that follows from a decision.
func (e *Engine) carryOut(tx Tx, i *Instance, d saga.Decision, m messages.Message, cause messages.Cause, now time.Time) error {
	before := i.State
	if d.State.Entry != before.Entry {
		i.EnteredAt = now
	}
	i.State = d.State

	sent, err := e.send(tx, d.Send, cause)
	if err != nil {
		return err
	}
	mark(tx, i, d.Timeline, sent, now)
	e.setTimers(tx, i.OrderID, d)
	clearFired(tx, i.OrderID, m)
	entry := Entry{
		Outcome: d.Verdict.String(), Sent: sent,
		Timers: Timers{Set: d.SetTimers, Cleared: d.ClearTimers},
	}
	if err := e.journal(tx, i, m, cause, before, entry, now); err != nil {
		return err
	}
	i.Version++
	tx.Keep(i)
	return nil
}

// load gives an order's saga and the definition that decides for it: a new one begins with the
// current version, all others go on with theirs.
func load(ctx context.Context, tx Tx, orderID string) (*Instance, saga.Definition, error) {
	i, err := find(ctx, tx, orderID)
	if err != nil {
		return nil, saga.Definition{}, err
	}
	by, ok := saga.Of(i.Definition)
	switch {
	case ok:
		return i, by, nil
	case i.State.Step.Terminal():
		return nil, saga.Definition{}, errEnded
	default:
		return nil, saga.Definition{}, ErrDefinition
	}
}

// find is load for whoever decides nothing, so that no code for the saga is needed.
func find(ctx context.Context, tx Tx, orderID string) (*Instance, error) {
	found, err := tx.Sagas(ctx, orderID)
	if err != nil {
		return nil, err
	}
	i := found[orderID]
	if i == nil {
		return nil, ErrNoOrder
	}
	if i.Version == 0 {
		i.Definition, i.State, i.TimelineSeq = saga.Version, saga.Start(), 1
	}
	return i, nil
}

// clearFired ends the timer that a time-out came from, whatever became of it.
func clearFired(tx Tx, orderID string, m messages.Message) {
	if t, ok := m.(saga.TimedOut); ok {
		tx.ClearTimer(DueTimer{OrderID: orderID, Name: t.Timer.Name, Entry: t.Timer.Entry})
	}
}

func (e *Engine) send(tx Tx, out []messages.Message, cause messages.Cause) ([]Sent, error) {
	sent := make([]Sent, len(out))
	for n, m := range out {
		if err := tx.Publish(m); err != nil {
			return nil, err
		}
		spec, _ := messages.SpecOf(m.Name())
		sent[n] = Sent{ID: messages.DerivedID(cause.MessageID, m.Name(), n), Type: m.Name(), Topic: spec.Topic, Data: m}
	}
	return sent, nil
}

func mark(tx Tx, i *Instance, marks []saga.Mark, sent []Sent, now time.Time) {
	for _, m := range marks {
		i.TimelineSeq++
		id := m.EventID
		if m.Sent >= 0 {
			id = sent[m.Sent].ID
		}
		tx.Mark(i.OrderID, domain.Entry{Seq: i.TimelineSeq, At: now, Event: m.Event, Status: m.Status, EventID: id})
	}
}

func (e *Engine) setTimers(tx Tx, orderID string, d saga.Decision) {
	for _, t := range d.ClearTimers {
		tx.ClearTimer(DueTimer{OrderID: orderID, Name: t.Name, Entry: t.Entry})
	}
	for _, t := range d.SetTimers {
		tx.SetTimer(DueTimer{OrderID: orderID, Name: t.Name, Entry: t.Entry}, e.timeouts.Of(t.Name))
	}
}

// journal completes an entry and stages it behind the saga's last one.
func (e *Engine) journal(tx Tx, i *Instance, m messages.Message, cause messages.Cause, before saga.State, entry Entry, now time.Time) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Name(), err)
	}
	was, err := json.Marshal(before)
	if err != nil {
		return fmt.Errorf("encode saga state: %w", err)
	}
	is, err := json.Marshal(i.State)
	if err != nil {
		return fmt.Errorf("encode saga state: %w", err)
	}
	entry.OrderID, entry.Seq, entry.At = i.OrderID, i.JournalSeq+1, now
	entry.MessageID, entry.Type, entry.Payload = cause.MessageID, m.Name(), payload
	entry.Topic, entry.Partition, entry.Offset = cause.Topic, cause.Partition, cause.Offset
	entry.Definition, entry.Build, entry.Before, entry.After = i.Definition, e.build, was, is
	if entry.Hash, err = Chain(i.JournalHash, entry); err != nil {
		return err
	}
	i.JournalSeq, i.JournalHash = entry.Seq, entry.Hash
	tx.Journal(entry)
	return nil
}

// journalFailure writes what a failed attempt was, without an inbox row: the message comes again.
func (e *Engine) journalFailure(ctx context.Context, m messages.Message, cause messages.Cause, failure error) error {
	now := e.now().UTC().Truncate(time.Microsecond)
	attempt := cause
	attempt.Consumer = ""
	return e.work.Do(messages.WithCause(ctx, attempt), func(tx Tx) error {
		i, err := find(ctx, tx, m.Order())
		if err != nil {
			return nil //nolint:nilerr // there is nothing to write it to; the failure itself is returned
		}
		entry := Entry{Outcome: OutcomeFailed, Sent: []Sent{}, Error: failure.Error()}
		if err := e.journal(tx, i, m, cause, i.State, entry, now); err != nil {
			return err
		}
		i.Version++
		tx.Keep(i)
		return nil
	})
}

// worthAnEntry leaves out what says nothing about the saga: a database that is away or too slow, another
// transaction that was in the way, a shutdown.
func worthAnEntry(err error) bool {
	return fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Conflict &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrNoOrder)
}

func completion(out []messages.Message) *messages.OrderCompleted {
	for _, m := range out {
		switch m := m.(type) {
		case *messages.OrderCompleted:
			return m
		case messages.OrderCompleted:
			return &m
		}
	}
	return nil
}
