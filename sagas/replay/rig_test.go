package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"millrace/app/messages"
	domain "millrace/domain/order"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// rig carries one order's saga with the production engine, in memory, and keeps its journal.
type rig struct {
	t        *testing.T
	engine   *engine.Engine
	instance engine.Instance
	journal  []engine.Entry
	now      time.Time
	failures int // of the next transactions
	n        int
}

const orderID = "ord_1"

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, instance: engine.Instance{OrderID: orderID}, now: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)}
	r.engine = engine.New(r, engine.Timeouts{Payment: time.Minute, Inventory: time.Minute}, r, "test", func() time.Time { return r.now })
	return r
}

// began makes it a saga that began with that version, under a build before this one.
func (r *rig) began(version int) *rig {
	r.instance = engine.Instance{OrderID: orderID, Definition: version, Version: 1, TimelineSeq: 1, State: saga.Start()}
	return r
}

var errUnlucky = errors.New("no luck")

func (r *rig) Do(_ context.Context, fn func(engine.Tx) error) error {
	tx := &rigTx{rig: r, instance: r.instance}
	if err := fn(tx); err != nil {
		return err
	}
	if r.failures > 0 {
		r.failures--
		return errUnlucky
	}
	r.instance = tx.instance
	r.journal = append(r.journal, tx.journal...)
	return nil
}

func (r *rig) OrderCompleted(string, string, time.Duration) {}

type rigTx struct {
	*rig
	instance engine.Instance
	journal  []engine.Entry
}

func (t *rigTx) Sagas(context.Context, ...string) (map[string]*engine.Instance, error) {
	i := t.instance
	return map[string]*engine.Instance{orderID: &i}, nil
}
func (t *rigTx) Keep(i *engine.Instance)                 { t.instance = *i }
func (t *rigTx) Mark(string, domain.Entry)               {}
func (t *rigTx) SetTimer(engine.DueTimer, time.Duration) {}
func (t *rigTx) ClearTimer(engine.DueTimer)              {}
func (t *rigTx) Journal(e engine.Entry)                  { t.journal = append(t.journal, e) }
func (t *rigTx) Publish(messages.Message) error          { return nil }

// hear delivers messages one after the other, a second apart.
func (r *rig) hear(all ...messages.Message) *rig {
	r.t.Helper()
	for _, m := range all {
		r.n++
		r.now = r.now.Add(time.Second)
		spec, _ := messages.SpecOf(m.Name())
		ctx := messages.WithCause(r.t.Context(), messages.Cause{
			Consumer: "orchestrator." + spec.Topic, MessageID: messages.DerivedID("test", m.Name(), r.n), Topic: spec.Topic, Offset: int64(r.n),
		})
		if err := r.engine.Handle(ctx, m); err != nil && !errors.Is(err, errUnlucky) {
			r.t.Fatal(err)
		}
	}
	return r
}

func (r *rig) fire(name string, entry int) *rig {
	r.t.Helper()
	r.now = r.now.Add(time.Minute)
	if err := r.engine.Fire(r.t.Context(), engine.DueTimer{OrderID: orderID, Name: name, Entry: entry}); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// history is what a reader of the journal would give.
func (r *rig) history() replay.History {
	r.t.Helper()
	h := replay.History{Saga: replay.Saga{
		OrderID: orderID, Definition: r.instance.Definition, State: r.encode(r.instance.State),
		Entries: r.instance.JournalSeq, Hash: r.instance.JournalHash,
	}}
	for _, e := range r.journal {
		var read replay.Entry
		if err := json.Unmarshal(r.encode(e), &read); err != nil {
			r.t.Fatal(err)
		}
		read.Hash = e.Hash
		h.Entries = append(h.Entries, read)
	}
	return h
}

func (r *rig) encode(v any) json.RawMessage {
	r.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// rehash gives a changed history a chain that fits, as a forger would, so that the change itself
// is what replay sees.
func rehash(t *testing.T, h replay.History) replay.History {
	t.Helper()
	var hash string
	for i := range h.Entries {
		var err error
		if hash, err = replay.Chain(hash, h.Entries[i]); err != nil {
			t.Fatal(err)
		}
		h.Entries[i].Hash = hash
	}
	h.Saga.Hash, h.Saga.Entries = hash, len(h.Entries)
	return h
}

var (
	created  = &messages.OrderCreated{OrderID: orderID, UserID: "usr_001", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 1200}}, Currency: "LKR", Total: 2400, PaymentMethod: "pm_card_ok"}
	cancel   = &messages.OrderCancelRequested{OrderID: orderID, UserID: "usr_001", Reason: "cancelled_by_user"}
	paid     = &messages.PaymentSucceeded{OrderID: orderID, PaymentID: "pay_1", Amount: 2400, Currency: "LKR", Provider: "sim", AuthCode: "a1", Items: []messages.Quantity{{SKU: "SKU-1", Qty: 2}}}
	declined = &messages.PaymentFailed{OrderID: orderID, Amount: 2400, Currency: "LKR", Provider: "sim", Reason: "declined"}
	reserved = &messages.InventoryReserved{OrderID: orderID, Reservations: []messages.Quantity{{SKU: "SKU-1", Qty: 2}}, Warehouse: "w"}
	shortage = &messages.InventoryFailed{OrderID: orderID, Reason: "out_of_stock", Missing: []messages.Shortage{}}
	released = &messages.InventoryReleased{OrderID: orderID, Released: []messages.Quantity{}}
	refunded = &messages.PaymentRefunded{OrderID: orderID, Amount: 2400, Currency: "LKR", Outcome: "refunded"}
)

// with are definitions that give another answer where the test changes one.
func with(change func(in saga.Input, d *saga.Decision)) replay.Options {
	o := replay.Options{Definitions: map[int]replay.Decide{}}
	for version, decide := range replay.Definitions() {
		o.Definitions[version] = func(s saga.State, in saga.Input) saga.Decision {
			d := decide(s, in)
			change(in, &d)
			return d
		}
	}
	return o
}
