package sqlstore

import (
	"errors"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// versioned carries sagas on a real store.
type versioned struct {
	t     *testing.T
	db    *sqldb.DB
	core  *Core
	store *Sagas
	carry *engine.Engine
}

func newVersioned(t *testing.T, db *sqldb.DB) *versioned {
	core := newCore(db)
	store := NewSagas(core)
	// Timers are due at once: the test fires them when it wishes.
	return &versioned{t, db, core, store, engine.New(store, engine.Timeouts{}, silent{}, "test", time.Now)}
}

// placed gives a new order, whose saga has begun with version, or not at all for version 0.
func (v *versioned) placed(version int) string {
	v.t.Helper()
	answer, err := newPlace(v.t, v.core).Handle(v.t.Context(), wish)
	if err != nil {
		v.t.Fatal(err)
	}
	if version != 0 {
		v.keep(answer.OrderID, func(i *engine.Instance) {
			i.Definition, i.State, i.TimelineSeq, i.EnteredAt = version, saga.Start(), 1, i.PlacedAt
		})
	}
	return answer.OrderID
}

// keep changes a saga behind the engine's back.
func (v *versioned) keep(orderID string, change func(i *engine.Instance)) {
	v.t.Helper()
	if err := v.store.Do(v.t.Context(), func(tx engine.Tx) error {
		found, err := tx.Sagas(v.t.Context(), orderID)
		if err != nil {
			return err
		}
		i := found[orderID]
		change(i)
		i.Version++
		tx.Keep(i)
		return nil
	}); err != nil {
		v.t.Fatal(err)
	}
}

func (v *versioned) hear(orderID string, m messages.Message) error {
	ctx := messages.WithCause(v.t.Context(), messages.Cause{Consumer: "orchestrator.x", MessageID: orderID + m.Name(), Type: m.Name()})
	return v.carry.Handle(ctx, m)
}

func (v *versioned) timesOut(orderID string, entry int) error {
	return v.carry.Fire(v.t.Context(), engine.DueTimer{OrderID: orderID, Name: saga.InventoryTimer, Entry: entry})
}

func (v *versioned) must(errs ...error) {
	v.t.Helper()
	if err := errors.Join(errs...); err != nil {
		v.t.Fatal(err)
	}
}

func (v *versioned) wants(orderID string, version int, step saga.Step, status order.Status) {
	v.t.Helper()
	var got struct {
		Definition int    `db:"definition"`
		Step       string `db:"step"`
		Status     string `db:"status"`
	}
	v.must(v.db.GetContext(v.t.Context(), &got, v.db.Rebind("SELECT s.definition, s.step, o.status FROM sagas s JOIN orders o ON o.id = s.order_id WHERE o.id = ?"), orderID))
	if got.Definition != version || got.Step != step.String() || got.Status != status.String() {
		v.t.Errorf("the saga is %+v, want version %d in %s and %s", got, version, step, status)
	}
}

func TestASagaKeepsTheVersionThatItBeganWith(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		v := newVersioned(t, open(t))
		older, newer := v.placed(1), v.placed(0)
		for _, id := range []string{older, newer} { // side by side
			v.must(
				v.hear(id, &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"}),
				v.hear(id, &messages.PaymentSucceeded{OrderID: id}),
				v.timesOut(id, 2),
				v.hear(id, &messages.InventoryReserved{OrderID: id}),
			)
		}
		v.wants(older, 1, saga.UndoingInventory, order.Paid)
		v.wants(newer, saga.Version, saga.Confirmed, order.Confirmed)
		for id, version := range map[string]int{older: 1, newer: saga.Version} {
			if n := count(t, v.db, "SELECT count(*) FROM saga_journal WHERE order_id = ? AND definition = ?", id, version); n != 4 {
				t.Errorf("%d entries of version %d, want all 4", n, version)
			}
		}
		if n := count(t, v.db, "SELECT count(*) FROM order_timeline WHERE order_id = ? AND event = 'InventoryTimedOut'", newer); n != 0 {
			t.Error("a time-out that was let pass is on the customer's timeline")
		}
	})
}

func TestAMigratedSagaIsStoredWithItsNewVersion(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		v := newVersioned(t, open(t))
		id := v.placed(0)
		v.must(
			v.hear(id, &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"}),
			v.hear(id, &messages.PaymentSucceeded{OrderID: id}),
			v.timesOut(id, 2),
		)
		v.keep(id, func(i *engine.Instance) {
			var err error
			i.State, err = saga.Migrate(i.State, i.Definition, 1)
			v.must(err)
			i.Definition = 1
		})
		v.wants(id, 1, saga.AwaitingInventory, order.Paid)
		v.must(v.timesOut(id, 3)) // the timer that was running
		v.wants(id, 1, saga.UndoingInventory, order.Paid)
	})
}

// A build that was rolled back, or one that is not replaced yet, meets sagas of a version that it
// does not have. What comes for them waits, and nothing of them changes, until a build has it.
func TestASagaOfAVersionWithoutCodeIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		v := newVersioned(t, open(t))
		id := v.placed(0)
		v.must(
			v.hear(id, &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"}),
			v.hear(id, &messages.PaymentSucceeded{OrderID: id}),
		)
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := v.db.ExecContext(t.Context(), v.db.Rebind(query), args...); err != nil {
				t.Fatal(err)
			}
		}
		var state string
		v.must(v.db.GetContext(t.Context(), &state, v.db.Rebind("SELECT state FROM sagas WHERE order_id = ?"), id))
		exec("UPDATE sagas SET definition = 99, state = '{\"step\":\"pondering\"}' WHERE order_id = ?", id)
		before := v.everything(id)

		for name, err := range map[string]error{
			"a message":  v.hear(id, &messages.InventoryReserved{OrderID: id}),
			"a time-out": v.timesOut(id, 2),
		} {
			if !errors.Is(err, engine.ErrDefinition) || fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: %v: it would become a dead letter, or be lost", name, err)
			}
		}
		if found, err := v.store.Stranded(t.Context()); err != nil || len(found) != 1 || found[99] != 1 {
			t.Errorf("stranded are %v, %v", found, err)
		}
		if after := v.everything(id); after != before {
			t.Errorf("something changed: %+v, before %+v", after, before)
		}

		exec("UPDATE sagas SET definition = ?, state = ? WHERE order_id = ?", saga.Version, state, id)
		v.must(v.hear(id, &messages.InventoryReserved{OrderID: id}), v.timesOut(id, 2)) // they come again
		v.wants(id, saga.Version, saga.Confirmed, order.Confirmed)
	})
}

// A version is taken out of the code when no saga of it is open. What comes late for one that has ended
// is taken and changes nothing, or it would be held for ever, and others behind it.
func TestASagaThatHasEndedAbsorbsWithoutCodeForItsVersion(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		v := newVersioned(t, open(t))
		id := v.placed(0)
		v.must(
			v.hear(id, &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"}),
			v.hear(id, &messages.PaymentSucceeded{OrderID: id}),
			v.hear(id, &messages.InventoryReserved{OrderID: id}),
		)
		v.wants(id, saga.Version, saga.Confirmed, order.Confirmed)
		if _, err := v.db.ExecContext(t.Context(), v.db.Rebind(
			"UPDATE sagas SET definition = 99, state = '{\"step\":\"confirmed\",\"mood\":\"good\"}' WHERE order_id = ?"), id); err != nil {
			t.Fatal(err)
		}
		if found, err := v.store.Stranded(t.Context()); err != nil || len(found) != 0 {
			t.Errorf("one that has ended needs no code: %v, %v", found, err)
		}
		before := v.everything(id)
		v.must(v.hear(id, &messages.OrderCancelRequested{OrderID: id}), v.timesOut(id, 2))
		after := v.everything(id)
		if after.inbox -= before.inbox; after.inbox != 2 {
			t.Errorf("%d inbox rows are new, want one for each", after.inbox)
		}
		if after.inbox = before.inbox; after != before {
			t.Errorf("something changed: %+v, before %+v", after, before)
		}
	})
}

// footprint counts all that a turn of a saga would have left.
type footprint struct {
	version, journal, timeline, outbox, inbox, letters, timers int
	state                                                      string
}

func (v *versioned) everything(orderID string) footprint {
	v.t.Helper()
	f := footprint{
		version:  count(v.t, v.db, "SELECT version FROM sagas WHERE order_id = ?", orderID),
		journal:  count(v.t, v.db, "SELECT count(*) FROM saga_journal WHERE order_id = ?", orderID),
		timeline: count(v.t, v.db, "SELECT count(*) FROM order_timeline WHERE order_id = ?", orderID),
		outbox:   outgoing(v.t, v.db, orderID),
		inbox:    count(v.t, v.db, "SELECT count(*) FROM inbox"),
		letters:  count(v.t, v.db, "SELECT count(*) FROM dead_letters"),
		timers:   count(v.t, v.db, "SELECT count(*) FROM saga_timers WHERE order_id = ?", orderID),
	}
	v.must(v.db.GetContext(v.t.Context(), &f.state, v.db.Rebind("SELECT state FROM sagas WHERE order_id = ?"), orderID))
	return f
}
