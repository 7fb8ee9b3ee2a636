package sqlstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/adaptertest"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	notificationapp "millrace/app/notification"
	orderapp "millrace/app/order"
	paymentapp "millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/inventory"
	"millrace/domain/money"
	"millrace/domain/order"
	"millrace/domain/payment"
	"millrace/sagas/engine"
)

type silent struct{}

func (silent) Duplicate(string) {}
func (silent) Parked(string)    {}
func (silent) CommitBatch(int)  {}

func (silent) OrderCompleted(string, string, time.Duration) {}

func newCore(db *sqldb.DB) *Core {
	logger := slog.New(slog.DiscardHandler)
	return NewCore(Config{
		DB: db, Service: "test", Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: silent{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: time.Now,
	})
}

func count(t *testing.T, db *sqldb.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.GetContext(t.Context(), &n, db.Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func outgoing(t *testing.T, db *sqldb.DB, orderID string) int {
	t.Helper()
	return count(t, db, "SELECT count(*) FROM outbox WHERE aggregate_id = ?", orderID)
}

func TestPaymentsKeepThePromiseOfAUnitOfWork(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		adaptertest.UnitOfWork(t, func(t *testing.T) adaptertest.Deed {
			db := open(t)
			core := newCore(db)
			store := NewPayments(core, NewIntents(core))
			return adaptertest.Deed{
				Write: func(ctx context.Context, orderID string, failure error) error {
					return store.Do(ctx, func(tx paymentapp.Tx) error {
						p, err := payment.Open(orderID, money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
						if err != nil {
							return err
						}
						tx.Keep(p)
						if err := tx.Publish(&messages.PaymentFailed{OrderID: orderID}); err != nil {
							return err
						}
						return failure
					})
				},
				Effects: func(t *testing.T, orderID string) (int, int) {
					return count(t, db, "SELECT count(*) FROM payments WHERE order_id = ?", orderID), outgoing(t, db, orderID)
				},
			}
		})
	})
}

func TestInventoryKeepsThePromiseOfAUnitOfWork(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		adaptertest.UnitOfWork(t, func(t *testing.T) adaptertest.Deed {
			db := open(t)
			store := NewInventory(newCore(db))
			seedStock(t, store, "SKU-1", 10)
			return adaptertest.Deed{
				Write: func(ctx context.Context, orderID string, failure error) error {
					return store.Do(ctx, func(tx inventoryapp.Tx) error {
						shelf, err := tx.Shelf(ctx, orderID, []string{"SKU-1"})
						if err != nil {
							return err
						}
						shelf.Reserve([]inventory.Line{{SKU: "SKU-1", Qty: 1}})
						tx.Keep(shelf)
						if err := tx.Publish(&messages.InventoryReserved{OrderID: orderID}); err != nil {
							return err
						}
						return failure
					})
				},
				Effects: func(t *testing.T, orderID string) (int, int) {
					return count(t, db, "SELECT reserved FROM stock WHERE sku = 'SKU-1'"), outgoing(t, db, orderID)
				},
			}
		})
	})
}

func seedStock(t *testing.T, store *Inventory, sku string, onHand int) {
	t.Helper()
	if err := store.Seed(t.Context(), []inventory.Level{{SKU: sku, OnHand: onHand}}); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastItemGoesToOneOrder(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		store := NewInventory(newCore(db))
		seedStock(t, store, "SKU-LAST", 1)
		reserve := inventoryapp.NewReserveStock(store)
		var all sync.WaitGroup
		for n := range 20 {
			id := "ord_" + string(rune('a'+n))
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
			all.Go(func() {
				if err := reserve.Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: []messages.Quantity{{SKU: "SKU-LAST", Qty: 1}}}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := count(t, db, "SELECT count(*) FROM reservations WHERE state = 'held'"); n != 1 {
			t.Errorf("%d orders hold the last item, want 1", n)
		}
		if n := count(t, db, "SELECT count(*) FROM outbox WHERE event_type = 'InventoryFailed'"); n != 19 {
			t.Errorf("%d orders were refused, want 19", n)
		}
	})
}

// With a single writer, as SQLite has it, two units cannot meet.
func TestAnUndoThatMeetsItsDoIsNotOverwritten(t *testing.T) {
	t.Parallel()
	t.Run("inventory", func(t *testing.T) {
		t.Parallel()
		adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
			db := open(t)
			if db.Dialect == sqldb.SQLite {
				return
			}
			store := NewInventory(newCore(db))
			seedStock(t, store, "SKU-1", 10)
			release := inventoryapp.NewReleaseInventory(NewInventory(newCore(db))) // in another process
			runs := 0
			var verdict inventory.Verdict
			err := store.Do(t.Context(), func(tx inventoryapp.Tx) error {
				shelf, err := tx.Shelf(t.Context(), "ord_1", []string{"SKU-1"})
				if err != nil {
					return err
				}
				if runs++; runs == 1 { // between what it read and what it writes
					if err := release.Handle(t.Context(), &messages.ReleaseInventory{OrderID: "ord_1"}); err != nil {
						return err
					}
				}
				verdict, _ = shelf.Reserve([]inventory.Line{{SKU: "SKU-1", Qty: 1}})
				tx.Keep(shelf)
				return nil
			})
			if err != nil || verdict != inventory.TooLate {
				t.Errorf("the reservation ended as %v, %v", verdict, err)
			}
			if n := count(t, db, "SELECT reserved FROM stock WHERE sku = 'SKU-1'"); n != 0 {
				t.Errorf("%d pieces are set aside for an order that was released", n)
			}
			if n := count(t, db, "SELECT count(*) FROM reservations WHERE state = 'barred'"); n != 1 {
				t.Error("the tombstone is gone")
			}
		})
	})
	t.Run("payments", func(t *testing.T) {
		t.Parallel()
		adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
			db := open(t)
			if db.Dialect == sqldb.SQLite {
				return
			}
			core := newCore(db)
			store := NewPayments(core, NewIntents(core))
			other := newCore(db) // in another process
			refund := paymentapp.NewRefundPayment(NewPayments(other, NewIntents(other)))
			runs, charged := 0, false
			err := store.Do(t.Context(), func(tx paymentapp.Tx) error {
				known, err := tx.Payments(t.Context(), "ord_1")
				if err != nil {
					return err
				}
				if runs++; runs == 1 {
					if err := refund.Handle(t.Context(), &messages.RefundPayment{OrderID: "ord_1"}); err != nil {
						return err
					}
				}
				if charged = known["ord_1"] == nil; !charged {
					return nil
				}
				p, err := payment.Open("ord_1", money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
				if err != nil {
					return err
				}
				tx.Keep(p)
				tx.Intend(intent.New("ord_1", intent.Capture))
				return nil
			})
			if err != nil || charged {
				t.Errorf("an order whose payment was undone is charged: %v", err)
			}
			if n := count(t, db, "SELECT count(*) FROM intents"); n != 0 {
				t.Errorf("%d captures are intended", n)
			}
		})
	})
}

func TestAnIntentIsHandedOverAfterTheCommitAndSettledOnce(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		intents := NewIntents(core)
		store := NewPayments(core, intents)
		if err := store.Do(t.Context(), func(tx paymentapp.Tx) error {
			tx.Intend(intent.New("ord_1", intent.Capture))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		held := (<-intents.Committed())[0]
		if held.ID != "ord_1:capture" || held.Version != 1 {
			t.Fatalf("handed over %+v", held)
		}
		if due, err := intents.Claim(t.Context(), 10); err != nil || len(due) != 0 {
			t.Fatalf("an intent that is held was claimed by somebody else: %v %v", due, err)
		}
		settle := func(in intent.Intent) error {
			return store.Do(t.Context(), func(tx paymentapp.Tx) error { tx.Settle(in); return nil })
		}
		if err := settle(held); err != nil {
			t.Fatal(err)
		}
		if err := settle(held); !errors.Is(err, ErrStale) {
			t.Fatalf("settled twice: %v", err)
		}
		if err := store.Do(t.Context(), func(tx paymentapp.Tx) error {
			tx.Intend(intent.New("ord_1", intent.Capture))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case again := <-intents.Committed():
			t.Fatalf("an act that was done is handed over again: %+v", again)
		default:
		}
	})
}

func TestAnIntentThatHasNothingLeftToDoIsClosedWhoeverHoldsIt(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		intents := NewIntents(core)
		store := NewPayments(core, intents)
		do := func(fn func(tx paymentapp.Tx)) error {
			return store.Do(t.Context(), func(tx paymentapp.Tx) error { fn(tx); return nil })
		}
		if err := do(func(tx paymentapp.Tx) {
			for _, order := range []string{"held", "refused", "again"} {
				tx.Intend(intent.New(order, intent.Capture))
			}
		}); err != nil {
			t.Fatal(err)
		}
		held := <-intents.Committed()
		for _, in := range held[1:] {
			if err := intents.Bury(t.Context(), in, errors.New("refused")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE intents SET state = 'open' WHERE order_id = 'again'"); err != nil {
			t.Fatal(err)
		}
		if err := do(func(tx paymentapp.Tx) {
			for _, order := range []string{"held", "refused", "again", "unknown"} {
				tx.Close(intent.Key(order, intent.Capture))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := do(func(tx paymentapp.Tx) { tx.Settle(held[0]) }); !errors.Is(err, ErrStale) {
			t.Errorf("who held it could settle it: %v", err)
		}
		for state, order := range map[string]string{"done": "held", "dead": "refused", "open": "again"} {
			if n := count(t, db, "SELECT count(*) FROM intents WHERE state = '"+state+"' AND order_id = '"+order+"'"); n != 1 {
				t.Errorf("the intent of %s is not %s", order, state)
			}
		}
	})
}

func TestAPostponedIntentComesBackWithAnotherVersion(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "notifications", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		intents, held := heldMail(t, core)
		store := NewNotifications(core, intents)
		if err := intents.Postpone(t.Context(), held, 0, errors.New("away")); err != nil {
			t.Fatal(err)
		}
		again, err := intents.Claim(t.Context(), 10)
		if err != nil || len(again) != 1 || again[0].Version != 2 || again[0].Attempts != 2 {
			t.Fatalf("claimed %+v, %v", again, err)
		}
		stale := store.Do(t.Context(), func(tx notificationapp.Tx) error { tx.Settle(held); return nil })
		if !errors.Is(stale, ErrStale) {
			t.Fatalf("who lost the lease could settle: %v", stale)
		}
		if err := intents.Bury(t.Context(), again[0], errors.New("refused")); err != nil {
			t.Fatal(err)
		}
		if due, err := intents.Claim(t.Context(), 10); err != nil || len(due) != 0 {
			t.Fatalf("a buried intent was claimed: %v %v", due, err)
		}
	})
}

type noReplies struct{}

func (noReplies) Get(context.Context, orderapp.Key) (*orderapp.Reply, bool) { return nil, false }
func (noReplies) Put(context.Context, orderapp.Reply)                       {}

func newPlace(t *testing.T, core *Core) *orderapp.PlaceOrder {
	t.Helper()
	store := NewOrders(core)
	if err := store.Seed(t.Context(), []orderapp.Product{{SKU: "SKU-1", Name: "One", Price: 1200, Currency: "LKR"}}); err != nil {
		t.Fatal(err)
	}
	return orderapp.NewPlaceOrder(store, NewCatalog(core), noReplies{}, NewOrderIDs(), time.Now)
}

var wish = orderapp.Request{UserID: "usr_1", Items: []orderapp.Wish{{SKU: "SKU-1", Qty: 2}}, Currency: "LKR"}

func TestTwentyRequestsWithOneKeyMakeOneOrder(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		place := newPlace(t, newCore(db))
		request := wish
		request.Key, request.Hash = "key-1", "hash"
		var all sync.WaitGroup
		bodies := make(chan string, 20)
		for range 20 {
			all.Go(func() {
				answer, err := place.Handle(t.Context(), request)
				if err != nil {
					t.Error(err)
					return
				}
				bodies <- string(answer.Body)
			})
		}
		all.Wait()
		close(bodies)
		different := map[string]bool{}
		for body := range bodies {
			different[body] = true
		}
		if len(different) != 1 {
			t.Errorf("%d different answers, want 1", len(different))
		}
		if n := count(t, db, "SELECT count(*) FROM orders"); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
		request.Hash = "another"
		if _, err := place.Handle(t.Context(), request); !errors.Is(err, orderapp.ErrKeyReused) {
			t.Errorf("the key was accepted for another body: %v", err)
		}
	})
}

func TestAKeyIsAnsweredAgainAlthoughItsBodyWouldBeRefusedNow(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		price := int64(1200)
		request := wish
		request.Items = []orderapp.Wish{{SKU: "SKU-1", Qty: 2, Price: &price}}
		request.Key, request.Hash = "key-1", "hash"
		first, err := newPlace(t, core).Handle(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE products SET price = 1300"); err != nil {
			t.Fatal(err)
		}
		later := newPlace(t, core)
		again, err := later.Handle(t.Context(), request)
		if err != nil || !again.Replayed || string(again.Body) != string(first.Body) {
			t.Errorf("the second answer is %s, replayed %t, %v", again.Body, again.Replayed, err)
		}
		request.Hash = "another"
		if _, err := later.Handle(t.Context(), request); !errors.Is(err, orderapp.ErrKeyReused) {
			t.Errorf("another body with that key gives %v", err)
		}
		request.Key = "key-2"
		if _, err := later.Handle(t.Context(), request); fault.CodeOf(err) != "price_mismatch" {
			t.Errorf("a new key with the old price gives %v", err)
		}
	})
}

func TestAnOrderRunsThroughTheEngine(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		answer, err := newPlace(t, core).Handle(t.Context(), wish)
		if err != nil {
			t.Fatal(err)
		}
		id := answer.OrderID
		sagas := NewSagas(core)
		carry := engine.New(sagas, engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, silent{}, "test", time.Now)
		deliver := func(eventID string, m messages.Message) {
			t.Helper()
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "orchestrator.x", MessageID: eventID, Type: m.Name()})
			if err := carry.Handle(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		deliver("e3", &messages.InventoryReserved{OrderID: id})
		deliver("e2", &messages.PaymentSucceeded{OrderID: id})
		deliver("e1", &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"})
		deliver("e1", &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"})

		o, err := NewOrders(core).Order(t.Context(), order.ID(id))
		if err != nil {
			t.Fatal(err)
		}
		s := o.Snapshot()
		if s.Status != order.Confirmed {
			t.Errorf("the order is %s", s.Status)
		}
		var events []string
		for i, e := range s.Timeline {
			events = append(events, e.Event)
			if e.Seq != i+1 || e.EventID == "" {
				t.Errorf("entry %d is %+v", i, e)
			}
		}
		want := []string{"OrderCreated", "PaymentSucceeded", "InventoryReserved", "OrderCompleted"}
		if len(events) != len(want) {
			t.Fatalf("timeline %v, want %v", events, want)
		}
		for i := range want {
			if events[i] != want[i] {
				t.Fatalf("timeline %v, want %v", events, want)
			}
		}
		if n := count(t, db, "SELECT count(*) FROM saga_journal WHERE order_id = ?", id); n != 3 {
			t.Errorf("%d journal entries, want 3", n)
		}
		if n := count(t, db, "SELECT count(*) FROM saga_timers"); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

func TestATimerIsDueByTheDatabasesClockAndFiresOnce(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		answer, err := newPlace(t, core).Handle(t.Context(), wish)
		if err != nil {
			t.Fatal(err)
		}
		sagas := NewSagas(core)
		carry := engine.New(sagas, engine.Timeouts{Payment: 0, Inventory: time.Hour}, silent{}, "test", time.Now)
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "e1"})
		if err := carry.Handle(ctx, &messages.OrderCreated{OrderID: answer.OrderID, UserID: "usr_1", Total: 2400, Currency: "LKR"}); err != nil {
			t.Fatal(err)
		}
		due, err := sagas.Due(t.Context(), 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("due: %v %v", due, err)
		}
		for range 2 {
			if err := carry.Fire(t.Context(), due[0]); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "SELECT count(*) FROM outbox WHERE event_type = 'ReleaseInventory'"); n != 1 {
			t.Errorf("%d releases, want 1", n)
		}
		if left, err := sagas.Due(t.Context(), 10); err != nil || len(left) != 0 {
			t.Errorf("the timer is still there: %v %v", left, err)
		}
		o, err := NewOrders(core).Order(t.Context(), order.ID(answer.OrderID))
		if err != nil {
			t.Fatal(err)
		}
		if actions := o.AllowedActions(); len(actions) != 0 {
			t.Errorf("an order that is being undone allows %v", actions)
		}
	})
}

func TestAFailedAttemptIsJournalledAndTheChainHolds(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		answer, err := newPlace(t, core).Handle(t.Context(), wish)
		if err != nil {
			t.Fatal(err)
		}
		failing := &failOnce{Sagas: NewSagas(core)}
		carry := engine.New(failing, engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, silent{}, "test", time.Now)
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "e1"})
		created := &messages.OrderCreated{OrderID: answer.OrderID, UserID: "usr_1", Total: 2400, Currency: "LKR"}
		if err := carry.Handle(ctx, created); err == nil {
			t.Fatal("the failure was lost")
		}
		if err := carry.Handle(ctx, created); err != nil {
			t.Fatal(err)
		}
		var outcomes []string
		if err := db.SelectContext(t.Context(), &outcomes, "SELECT outcome FROM saga_journal ORDER BY seq"); err != nil {
			t.Fatal(err)
		}
		if len(outcomes) != 2 || outcomes[0] != "failed" || outcomes[1] != "applied" {
			t.Errorf("journal outcomes %v", outcomes)
		}
	})
}

// failOnce breaks the first unit of work after it has staged everything.
type failOnce struct {
	*Sagas
	failed bool
}

func (f *failOnce) Do(ctx context.Context, fn func(engine.Tx) error) error {
	return f.Sagas.Do(ctx, func(tx engine.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if !f.failed {
			f.failed = true
			return errors.New("broken")
		}
		return nil
	})
}

func TestADeadLetterIsKeptOnceWithItsInboxRowAndItsCopy(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		letters := NewDeadLetters(newCore(db))
		d := messages.DeadLetter{
			ID: "d1", MessageID: "m1", OrderID: "ord_1", Service: "test", Consumer: "inventory-service.payment.events",
			Handler: "reserve_stock", Topic: "payment.events", Payload: []byte{0, 0xff}, Headers: map[string]string{"a": "b"},
			Reason: "bad_data", FirstAt: time.Now(), LastAt: time.Now(),
		}
		for range 2 {
			if err := letters.Keep(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM dead_letters":                    1,
			"SELECT count(*) FROM inbox WHERE outcome = 'dead'":    1,
			"SELECT count(*) FROM outbox WHERE topic = 'test.dlq'": 1,
		} {
			if n := count(t, db, query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		waiting, _, err := letters.Waiting(t.Context())
		if err != nil || waiting["reserve_stock"] != 1 {
			t.Errorf("waiting: %v %v", waiting, err)
		}
	})
}

func TestTimesSurviveTheRoundTripToTheMicrosecond(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
		core.Now = func() time.Time { return at }
		place := newPlace(t, core)
		answer, err := orderapp.NewPlaceOrder(NewOrders(core), NewCatalog(core), noReplies{}, NewOrderIDs(), core.Now).Handle(t.Context(), wish)
		_ = place
		if err != nil {
			t.Fatal(err)
		}
		o, err := NewOrders(core).Order(t.Context(), order.ID(answer.OrderID))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Snapshot().CreatedAt; !got.Equal(at) {
			t.Errorf("created at %s, want %s", got, at)
		}
		page, more, err := NewOrders(core).List(t.Context(), orderapp.Filter{From: at, To: at.Add(time.Microsecond), Limit: 10})
		if err != nil || more || len(page) != 1 {
			t.Errorf("the list by time gave %d orders, more %t, %v", len(page), more, err)
		}
	})
}
