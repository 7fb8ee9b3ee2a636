package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	paymentapp "millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/inventory"
	"millrace/domain/order"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// noted is a cache of marks that tells what was in the database when it was asked to mark.
type noted struct {
	t     *testing.T
	db    *sqldb.DB
	marks map[string]bool
	seen  []int // inbox rows, at each Mark
}

func (n *noted) Seen(_ context.Context, causes []messages.Cause) []bool {
	known := make([]bool, len(causes))
	for i, c := range causes {
		known[i] = n.marks[c.Consumer+"/"+c.MessageID]
	}
	return known
}

func (n *noted) Mark(causes []messages.Cause) {
	for _, c := range causes {
		n.marks[c.Consumer+"/"+c.MessageID] = true
	}
	n.seen = append(n.seen, count(n.t, n.db, "SELECT count(*) FROM inbox"))
}

func TestAMessageIsMarkedAfterItsCommitAndNotBefore(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		marks := &noted{t: t, db: d.db, marks: map[string]bool{}}
		d.store.core.Marks = marks
		failure := errors.New("the work fails")
		if err := d.do(delivery(t.Context()), func(*paymentTx) error { return failure }); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		if len(marks.marks) > 0 {
			t.Fatal("work that failed was marked as done: its message is lost")
		}
		for range 2 { // the second finds the mark
			if err := d.do(delivery(t.Context()), nil); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(marks.seen, []int{1}) {
			t.Errorf("inbox rows at each mark: %v, want one row at one mark", marks.seen)
		}
		marks.marks = map[string]bool{} // flushed: the inbox still knows
		if err := d.do(delivery(t.Context()), nil); err != nil {
			t.Fatal(err)
		}
		if n := d.runs.Load(); n != 2 {
			t.Errorf("the work was run %d times, once failing and once for good", n)
		}
		d.effects(t, 1)
	})
}

func TestAMessageThatTheCacheKnowsIsNoWitnessOfTheDatabase(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		d.store.core.Marks = &noted{t: t, db: d.db, marks: map[string]bool{}}
		if err := d.do(delivery(t.Context()), nil); err != nil {
			t.Fatal(err)
		}
		circuit := sqldb.NewCircuit(sqldb.CircuitConfig{After: 1, Pause: time.Millisecond})
		d.store.core.Circuit = circuit
		_ = circuit.Guard(t.Context(), func() error { return sqldb.ErrAway })
		inside, leave, err := circuit.Enter(delivery(t.Context())) // waits until it may be the probe
		if err != nil {
			t.Fatal(err)
		}
		err = d.do(inside, nil)
		if leave(err); err != nil || circuit.Closed() {
			t.Errorf("handled before: %v, and the circuit is closed: %t", err, circuit.Closed())
		}
	})
}

// atCommit is an observer that looks at the database as soon as a commit is known.
type atCommit struct {
	silent
	look func()
}

func (o atCommit) CommitBatch(int) { o.look() }

func TestAMessageIsInTheOutboxAsSoonAsTheStateThatItTellsOf(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		looked := false
		d.store.core.Observer = atCommit{look: func() {
			looked = true
			d.effects(t, 1)
		}}
		if err := d.do(delivery(t.Context()), nil); err != nil {
			t.Fatal(err)
		}
		if !looked {
			t.Error("nobody was told of the commit")
		}
	})
}

func TestAnActThatWasIntendedBeforeIsNotHandedOverAgain(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		intents := NewIntents(core)
		store := NewPayments(core, intents)
		for _, id := range []string{"m1", "m2"} { // two messages that ask for the same act
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
			if err := store.Do(ctx, func(tx paymentapp.Tx) error {
				tx.Intend(intent.New("ord_1", intent.Capture))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(intents.Committed()); n != 1 {
			t.Errorf("it was handed to the worker %d times", n)
		}
	})
}

// Whoever decides holds the order's row, so two decisions do not meet. Should they ever, the second
// is refused and made again on what the first has left.
func TestASagaIsNotSavedOverADecisionThatItDidNotSee(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		answer, err := newPlace(t, core).Handle(t.Context(), wish)
		if err != nil {
			t.Fatal(err)
		}
		sagas := NewSagas(core)
		var seen engine.Instance // by both
		if err := sagas.Do(t.Context(), func(tx engine.Tx) error {
			found, err := tx.Sagas(t.Context(), answer.OrderID)
			if err == nil {
				seen = *found[answer.OrderID]
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		save := func(reason string) error {
			i := seen
			i.State.Step, i.State.Reason, i.EnteredAt = saga.AwaitingPayment, reason, i.PlacedAt
			i.Definition, i.State.Status, i.Version = saga.Version, order.Processing, seen.Version+1
			return sagas.Do(t.Context(), func(tx engine.Tx) error {
				tx.Keep(&i)
				return nil
			})
		}
		if err := save("first"); err != nil {
			t.Fatal(err)
		}
		if err := save("second"); !errors.Is(err, ErrStale) {
			t.Errorf("a decision that did not see the first was saved: %v", err)
		}
		if n := count(t, core.DB, "SELECT count(*) FROM orders WHERE reason = 'first'"); n != 1 {
			t.Error("the first decision was overwritten")
		}
	})
}

// Between looking at the stock and taking of it nobody else may look.
func TestWhoeverLooksAtTheShelfHoldsIt(t *testing.T) {
	t.Parallel()
	db := realPostgres(t, "inventory")
	store := NewInventory(newCore(db))
	seedStock(t, store, "SKU-LAST", 1)
	reserve := inventoryapp.NewReserveStock(NewInventory(newCore(db))) // in another process
	wants := func(id string) error {
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
		return reserve.Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: []messages.Quantity{{SKU: "SKU-LAST", Qty: 1}}})
	}
	rival := make(chan error, 1)
	var once sync.Once
	err := store.Do(t.Context(), func(tx inventoryapp.Tx) error {
		shelf, err := tx.Shelf(t.Context(), "ord_a", []string{"SKU-LAST"})
		if err != nil {
			return err
		}
		once.Do(func() {
			go func() { rival <- wants("ord_b") }()
			for deadline := time.Now().Add(10 * time.Second); len(rival) == 0; {
				if count(t, db, "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.query LIKE '%FROM stock%'") > 0 {
					return // it waits for us
				}
				if time.Now().After(deadline) {
					t.Error("the rival neither waits nor ends")
					return
				}
			}
		})
		shelf.Reserve([]inventory.Line{{SKU: "SKU-LAST", Qty: 1}})
		tx.Keep(shelf)
		return nil
	})
	if err := errors.Join(err, <-rival); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "SELECT count(*) FROM reservations WHERE state = 'held'"); n != 1 {
		t.Errorf("%d orders hold the last item", n)
	}
}

// Two transactions that want the same products never wait for each other in a circle: whoever waits for the first
// holds none of the others. The rows lie in the table the other way round.
func TestStockIsLockedInTheOrderOfItsSKUs(t *testing.T) {
	t.Parallel()
	db := realPostgres(t, "inventory")
	store := NewInventory(newCore(db))
	seedStock(t, store, "SKU-B", 1)
	seedStock(t, store, "SKU-A", 1)
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM stock WHERE sku = 'SKU-A' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	looked := make(chan error, 1)
	go func() {
		looked <- store.Do(t.Context(), func(tx inventoryapp.Tx) error {
			_, err := tx.Shelf(t.Context(), "ord_1", []string{"SKU-B", "SKU-A"})
			return err
		})
	}()
	if !lockWaited(db, "stock") {
		t.Fatal("nobody waits for the first product")
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM stock WHERE sku = 'SKU-B' FOR UPDATE NOWAIT"); err != nil {
		t.Errorf("whoever waits for the first product holds the second: %v", err)
	}
	if err := errors.Join(tx.Rollback(), <-looked); err != nil {
		t.Fatal(err)
	}
}

// Whoever waits for an order that another process decides on sees that decision, and not what was before it:
// it would decide on that, be refused, and begin again with everything that shares its transaction.
func TestWhoeverWaitsForASagaSeesWhatItHasBecome(t *testing.T) {
	t.Parallel()
	db := realPostgres(t, "orders")
	ours, theirs := newVersioned(t, db), NewSagas(newCore(db))
	id := ours.placed(1)
	rival, seen := make(chan error, 1), make(chan int, 8)
	look := func() {
		rival <- theirs.Do(t.Context(), func(tx engine.Tx) error {
			found, err := tx.Sagas(t.Context(), id)
			if err == nil {
				seen <- found[id].Version
			}
			return err
		})
	}
	waits := make(chan bool, 1)
	ours.keep(id, func(*engine.Instance) {
		go look()
		waits <- lockWaited(db, "orders")
	})
	if !<-waits {
		t.Fatal("the rival has never waited")
	}
	if err := <-rival; err != nil {
		t.Fatal(err)
	}
	if first := <-seen; first != 2 {
		t.Errorf("it saw version %d of the saga, which had become 2", first)
	}
}

// lockWaited says whether somebody who reads a table of this test comes to wait. It is asked inside a unit of
// work, where a test cannot be ended.
func lockWaited(db *sqldb.DB, table string) bool {
	query := "SELECT count(*) FROM pg_locks w JOIN pg_locks r USING (pid) WHERE NOT w.granted AND r.relation = '" + table + "'::regclass"
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		var n int
		if err := db.Get(&n, query); err == nil && n > 0 {
			return true
		}
	}
	return false
}
