package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	paymentapp "millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/inventory"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// sizes remembers how many units each transaction committed.
type sizes struct {
	silent
	mu         sync.Mutex
	all        []int
	duplicates int
}

func (s *sizes) Duplicate(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates++
}

func (s *sizes) CommitBatch(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, n)
}

// gathered calls all the deeds at once while a transaction is under way, so that the next one
// takes them together, in their order. It gives their errors, a panic as one.
func gathered(t *testing.T, core *Core, deeds ...func() error) []error {
	t.Helper()
	begun, let := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		once := sync.OnceFunc(func() { close(begun) })
		if err := core.do(t.Context(), func(*unit) error { once(); <-let; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	errs := make([]error, len(deeds))
	for i, deed := range deeds {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = deed()
		})
		until(t, func() bool {
			core.group.mu.Lock()
			defer core.group.mu.Unlock()
			return len(core.group.waiting) == i+1
		})
	}
	close(let)
	all.Wait()
	return errs
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true")
		}
		<-time.After(time.Millisecond) // a condition without a signal
	}
}

func open100(t *testing.T, tx paymentapp.Tx, orderID string) {
	t.Helper()
	p, err := payment.Open(orderID, money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
	if err != nil {
		t.Error(err)
		return
	}
	tx.Keep(p)
}

func paymentStore(t *testing.T, db *sqldb.DB) (*Core, *Payments, *sizes) {
	t.Helper()
	core := newCore(db)
	seen := &sizes{}
	core.Observer = seen
	return core, NewPayments(core, NewIntents(core)), seen
}

func TestUnitsThatComeTogetherAreCommittedTogether(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, seen := paymentStore(t, db)
		capture := paymentapp.NewCapturePayment(store)
		var deeds []func() error
		for n := range 37 {
			id := fmt.Sprintf("ord_%02d", n)
			deeds = append(deeds, func() error {
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
				return capture.Handle(ctx, &messages.OrderCreated{OrderID: id, Total: 100, Currency: "LKR", PaymentMethod: "pm_card_ok"})
			})
		}
		if err := errors.Join(gathered(t, core, deeds...)...); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 37}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want %v", seen.all, want)
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM payments": 37, "SELECT count(*) FROM intents": 37, "SELECT count(*) FROM inbox": 37,
		} {
			if n := count(t, db, query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		handed := 0
		for handed < 37 {
			handed += len(<-store.intents.Committed())
		}
	})
}

func TestAUnitThatFailsOrPanicsIsMissedByNobody(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, _ := paymentStore(t, db)
		refused := errors.New("refused")
		deed := func(id string, end func() error) func() error {
			return func() error {
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
				return store.Do(ctx, func(tx paymentapp.Tx) error {
					open100(t, tx, id)
					if err := tx.Publish(&messages.PaymentFailed{OrderID: id}); err != nil {
						return err
					}
					return end()
				})
			}
		}
		fine := func() error { return nil }
		errs := gathered(t, core,
			deed("a", fine), deed("b", func() error { return refused }), deed("c", func() error { panic("a mistake") }), deed("d", fine))
		if errs[0] != nil || !errors.Is(errs[1], refused) || errs[2] == nil || errs[2].Error() != "panic: a mistake" || errs[3] != nil {
			t.Errorf("they ended with %v", errs)
		}
		for _, table := range []string{"SELECT order_id FROM payments ORDER BY 1", "SELECT message_id FROM inbox ORDER BY 1", "SELECT aggregate_id FROM outbox ORDER BY 1"} {
			var left []string
			if err := db.SelectContext(t.Context(), &left, table); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(left, []string{"a", "d"}) {
				t.Errorf("%s: %v, want those of a and d", table, left)
			}
		}
		if err := deed("b", fine)(); err != nil { // its message comes again
			t.Error(err)
		}
		if n := count(t, db, "SELECT count(*) FROM payments WHERE order_id = 'b'"); n != 1 {
			t.Error("what failed once cannot succeed later")
		}
	})
}

func TestAUnitThatTheDatabaseRefusesFailsAlone(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, seen := paymentStore(t, db)
		deed := func(id string, settle bool) func() error {
			return func() error {
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
				return store.Do(ctx, func(tx paymentapp.Tx) error {
					open100(t, tx, id)
					if settle {
						tx.Settle(intent.Intent{ID: "nobody's", Version: 1}) // the whole statement changes too few rows
					}
					return nil
				})
			}
		}
		errs := gathered(t, core, deed("a", false), deed("b", true), deed("c", false))
		if errs[0] != nil || !errors.Is(errs[1], ErrStale) || errs[2] != nil {
			t.Errorf("they ended with %v", errs)
		}
		if n := count(t, db, "SELECT count(*) FROM payments WHERE order_id IN ('a', 'c')"); n != 2 {
			t.Errorf("%d of its 2 neighbours have left a payment", n)
		}
		if n := count(t, db, "SELECT count(*) FROM inbox WHERE message_id = 'b'"); n != 0 {
			t.Error("its inbox row is still there")
		}
		if want := []int{1, 1, 1}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want each by itself", seen.all)
		}
	})
}

func TestUnitsOfOneOrderSeeEachOther(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, seen := paymentStore(t, db)
		created := func() error {
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "e1"})
			return paymentapp.NewCapturePayment(store).Handle(ctx, &messages.OrderCreated{OrderID: "ord_1", Total: 100, Currency: "LKR", PaymentMethod: "pm_card_ok"})
		}
		refund := func() error {
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "e2"})
			return paymentapp.NewRefundPayment(store).Handle(ctx, &messages.RefundPayment{OrderID: "ord_1"})
		}
		if err := errors.Join(gathered(t, core, refund, created)...); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 2}; !slices.Equal(seen.all, want) {
			t.Fatalf("the transactions committed %v units, want %v", seen.all, want)
		}
		p, err := store.Payment(t.Context(), "ord_1")
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM intents"); n != 0 || p.Unsettled() {
			t.Errorf("an order whose undo came first is charged: %d intents, %s", n, p.State())
		}
	})
}

func TestStockIsCountedThroughATransaction(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		seen := &sizes{}
		core.Observer = seen
		store := NewInventory(core)
		seedStock(t, store, "SKU-1", 5)
		seedStock(t, store, "SKU-2", 100)
		reserve, release := inventoryapp.NewReserveStock(store), inventoryapp.NewReleaseInventory(store)
		deed := func(n int) func() error {
			id := fmt.Sprintf("ord_%02d", n)
			return func() error {
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
				return reserve.Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: []messages.Quantity{{SKU: "SKU-1", Qty: 1}, {SKU: "SKU-2", Qty: 2}}})
			}
		}
		free := func(n int) func() error {
			return func() error {
				id := fmt.Sprintf("ord_%02d", n)
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "r", MessageID: id})
				return release.Handle(ctx, &messages.ReleaseInventory{OrderID: id})
			}
		}
		if err := errors.Join(gathered(t, core, deed(0), free(0), deed(1), deed(2), deed(3), free(9), deed(4), deed(5), deed(6), free(1), deed(9))...); err != nil {
			t.Fatal(err)
		}
		// 0 was freed and 9 barred; 1 to 5 took the five pieces, 6 found none, and 1 gave its own back.
		var rows []stockRecord
		if err := db.SelectContext(t.Context(), &rows, "SELECT sku, on_hand, reserved FROM stock ORDER BY sku"); err != nil {
			t.Fatal(err)
		}
		if rows[0].Reserved != 4 || rows[1].Reserved != 8 {
			t.Errorf("stock is %+v", rows)
		}
		states := map[string]int{}
		var all []reservationRecord
		if err := db.SelectContext(t.Context(), &all, "SELECT order_id, state, lines FROM reservations"); err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			states[r.State]++
		}
		if n := count(t, db, "SELECT count(*) FROM outbox WHERE event_type = 'InventoryFailed'"); n != 2 {
			t.Errorf("%d were refused, want 2; reservations %v", n, states)
		}
		if want := []int{1, 11}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want %v", seen.all, want)
		}
	})
}

func TestWhoLeavesWhileWaitingLeavesNothing(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, _ := paymentStore(t, db)
		ctx, leave := context.WithCancel(messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "a"}))
		left := make(chan struct{})
		errs := gathered(t, core,
			func() error {
				defer close(left)
				return store.Do(ctx, func(tx paymentapp.Tx) error { open100(t, tx, "a"); return nil })
			},
			func() error {
				leave()
				<-left
				return store.Do(t.Context(), func(tx paymentapp.Tx) error { open100(t, tx, "b"); return nil })
			})
		if !errors.Is(errs[0], context.Canceled) || errs[1] != nil {
			t.Errorf("they ended with %v", errs)
		}
		if n := count(t, db, "SELECT count(*) FROM payments WHERE order_id = 'a'"); n != 0 {
			t.Error("it has left a payment")
		}
	})
}

func TestManyUnitsOfManyOrdersEndAsIfOneAfterTheOther(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		stores := []*Inventory{NewInventory(newCore(db)), NewInventory(newCore(db))} // two processes
		for n := range 5 {
			seedStock(t, stores[0], fmt.Sprintf("SKU-%d", n), 40)
		}
		var all sync.WaitGroup
		for n := range 200 {
			id := fmt.Sprintf("ord_%03d", n)
			items := []messages.Quantity{{SKU: fmt.Sprintf("SKU-%d", n%5), Qty: 1}, {SKU: fmt.Sprintf("SKU-%d", (n+1+n/5)%5), Qty: 1}}
			if items[0].SKU == items[1].SKU {
				items = items[:1]
			}
			all.Go(func() {
				ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
				if err := inventoryapp.NewReserveStock(stores[n%2]).Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: items}); err != nil {
					t.Error(err)
				}
			})
			if n%4 == 0 {
				all.Go(func() {
					ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "r", MessageID: id})
					if err := inventoryapp.NewReleaseInventory(stores[(n+1)%2]).Handle(ctx, &messages.ReleaseInventory{OrderID: id}); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		var rows []struct {
			State string `db:"state"`
			Lines string `db:"lines"`
		}
		if err := db.SelectContext(t.Context(), &rows, "SELECT state, lines FROM reservations"); err != nil {
			t.Fatal(err)
		}
		held := map[string]int{}
		for _, r := range rows {
			var lines []inventory.Line
			if err := json.Unmarshal([]byte(r.Lines), &lines); err != nil {
				t.Fatal(err)
			}
			if r.State == inventory.Held.String() {
				for _, line := range lines {
					held[line.SKU] += line.Qty
				}
			}
		}
		levels, err := stores[0].Levels(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, l := range levels {
			total += l.Reserved
			if l.Reserved != held[l.SKU] {
				t.Errorf("%s: %d set aside, but reservations hold %d", l.SKU, l.Reserved, held[l.SKU])
			}
		}
		if total == 0 {
			t.Error("nothing was reserved")
		}
	})
}

// Whoever comes while others come shares their transaction; nobody is waited for who does not come.
func TestABusyServiceDelaysACommitForAsLongAsUnitsCome(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{1: 0, minSiblings - 1: 0, minSiblings: minSiblings * delayPerSibling, largestGroup: maxCommitDelay} {
		if got := commitDelay(n); got != want {
			t.Errorf("after %d units the next transaction waits up to %s, want %s", n, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g := &group{}
		come := func(every time.Duration, times int) {
			for range times {
				time.Sleep(every)
				g.mu.Lock()
				g.waiting = append(g.waiting, &member{})
				g.mu.Unlock()
			}
		}
		const few, many = int(maxCommitDelay/delayPerSibling) - 1, int(maxCommitDelay / delayPerSibling) // the longest delay comes after many
		took := func(last int) time.Duration {
			from := time.Now()
			g.delay(last)
			return time.Since(from)
		}
		if d := took(few); d != idleGap {
			t.Errorf("nobody was waited for during %s", d)
		}
		if d := took(many); d != longIdleGap {
			t.Errorf("nobody was waited for during %s where many had come before", d)
		}
		var coming sync.WaitGroup
		coming.Go(func() { come(idleGap/2+1, 6) })
		if d := took(few); d <= 3*idleGap || d > 6*idleGap || g.size() != 6 {
			t.Errorf("in %s came %d", d, g.size())
		}
		coming.Go(func() { come(1, many-6) })
		if d := took(many); d != 2*idleGap || g.size() != many {
			t.Errorf("in %s came all, %d, who had been there before", d, g.size())
		}
		coming.Go(func() { come(idleGap/2+1, largestGroup) })
		if d := took(largestGroup); d != maxCommitDelay {
			t.Errorf("those who never end to come were waited for during %s", d)
		}
		coming.Wait()
		if d := took(largestGroup); d != 0 {
			t.Errorf("a transaction that is full waited for %s", d)
		}
	})
}
