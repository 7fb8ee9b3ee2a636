package sqlstore

import (
	"errors"
	"fmt"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	"millrace/domain/fault"
)

// A member that is stopped until its rows are read has not failed. When they cannot be read, it is
// the database that failed: told as the member's own mistake, an outage would fill the dead letters.
func TestWhatCannotBeReadIsTheDatabasesFailureAndNotTheMembers(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		store := NewInventory(core)
		seedStock(t, store, "SKU-1", 10)
		reserve := inventoryapp.NewReserveStock(store)
		var deeds []func() error
		for n := range 3 {
			id := fmt.Sprint("ord_", n)
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
			deeds = append(deeds, func() error {
				return reserve.Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: []messages.Quantity{{SKU: "SKU-1", Qty: 1}}})
			})
		}
		rename := func(from, to string) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("stock", "away")
		for _, together := range [][]func() error{deeds, deeds[:1]} {
			for _, err := range gathered(t, core, together...) {
				if err == nil || errors.Is(err, errRerun) {
					t.Errorf("of %d together one gets %v", len(together), err)
				}
			}
		}
		rename("away", "stock")
		for _, err := range gathered(t, core, deeds...) {
			if err != nil {
				t.Error(err)
			}
		}
		if n := count(t, db, "SELECT reserved FROM stock WHERE sku = 'SKU-1'"); n != 3 {
			t.Errorf("%d are reserved, want 3", n)
		}
	})
}

func TestALockThatIsNotGivenIsAnOutage(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		if db.Dialect == sqldb.SQLite {
			t.Skip("a file has one lock, which is asked for before anything is read")
		}
		core := newCore(db)
		store := NewInventory(core)
		seedStock(t, store, "SKU-1", 10)
		held, err := db.BeginTxx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = held.Rollback() }()
		if _, err := held.ExecContext(t.Context(), "LOCK TABLE stock IN ACCESS EXCLUSIVE MODE"); err != nil {
			t.Fatal(err)
		}
		reserve := inventoryapp.NewReserveStock(store)
		var deeds []func() error
		for n := range 3 {
			id := fmt.Sprint("ord_", n)
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
			deeds = append(deeds, func() error {
				return reserve.Handle(ctx, &messages.PaymentSucceeded{OrderID: id, Items: []messages.Quantity{{SKU: "SKU-1", Qty: 1}}})
			})
		}
		for _, err := range gathered(t, core, deeds...) {
			if !errors.Is(err, sqldb.ErrBusy) || fault.KindOf(err) != fault.Unavailable {
				t.Errorf("it is %v", err)
			}
		}
	})
}
