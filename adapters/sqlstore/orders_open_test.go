package sqlstore

import (
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

func TestOrdersUnderWayAreThoseThatHaveNotEndedAndAreNotBeingUndone(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		store, place := NewOrders(core), newPlace(t, core)
		ids := make([]any, 6)
		for i := range ids {
			answer, err := place.Handle(t.Context(), wish)
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = answer.OrderID
		}
		under := func(most int) int {
			t.Helper()
			n, err := store.UnderWay(t.Context(), most)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := under(100); n != len(ids) {
			t.Errorf("%d new orders are under way, want %d", n, len(ids))
		}
		for i, change := range []string{"status = 'CONFIRMED'", "status = 'FAILED'", "status = 'CANCELLED'", "status = 'PAID'", "undoing = TRUE"} {
			if _, err := db.ExecContext(t.Context(), db.Rebind("UPDATE orders SET "+change+" WHERE id = ?"), ids[i]); err != nil {
				t.Fatal(err)
			}
		}
		if n := under(100); n != 2 { // the paid one and the one that nothing was done to
			t.Errorf("%d orders are under way, want 2", n)
		}
		if n := under(1); n != 1 {
			t.Errorf("asked for one at most it gives %d", n)
		}
		if n := under(100); n != 2 {
			t.Errorf("after that it gives %d", n)
		}
	})
}

// One that was placed by a process whose clock is behind lies below what was last the oldest.
func TestEveryOpenOrderIsCountedWithinAMinute(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		at := time.Now()
		core.Now = func() time.Time { return at }
		store, place := NewOrders(core), newPlace(t, core)
		under := func() int {
			t.Helper()
			n, err := store.UnderWay(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := under(); n != 0 {
			t.Errorf("there are %d", n)
		}
		answer, err := place.Handle(t.Context(), wish)
		if err != nil {
			t.Fatal(err)
		}
		if n := under(); n != 1 {
			t.Errorf("there are %d, want the new one", n)
		}
		if _, err := db.ExecContext(t.Context(), db.Rebind("UPDATE orders SET created_at = ? WHERE id = ?"), at.Add(-time.Hour), answer.OrderID); err != nil {
			t.Fatal(err)
		}
		at = at.Add(wholeEvery)
		if n := under(); n != 1 {
			t.Errorf("a minute later there are %d, want the one of an hour ago", n)
		}
		if n := under(); n != 1 {
			t.Errorf("then there are %d", n)
		}
	})
}
