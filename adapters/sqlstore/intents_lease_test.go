package sqlstore

import (
	"errors"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	notificationapp "millrace/app/notification"
	"millrace/domain/intent"
)

// heldMail gives an intent that has just been committed, and is held by this process.
func heldMail(t *testing.T, core *Core) (*Intents, intent.Intent) {
	t.Helper()
	intents := NewIntents(core)
	if err := NewNotifications(core, intents).Do(t.Context(), func(tx notificationapp.Tx) error {
		tx.Intend(intent.New("ord_1", intent.Mail))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return intents, (<-intents.Committed())[0]
}

func TestALeaseIsRenewedOnlyWhereItEndsSoonAndByNobodyElse(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "notifications", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		intents, held := heldMail(t, newCore(db))
		expire := func() {
			if _, err := db.ExecContext(t.Context(), "UPDATE intents SET due_at = created_at"); err != nil {
				t.Fatal(err)
			}
		}
		isDue := func() bool { return count(t, db, "SELECT count(*) FROM intents WHERE due_at = created_at") == 1 }

		expire()
		if err := intents.RenewLease(t.Context(), held, IntentLease/2); err != nil || !isDue() {
			t.Errorf("a lease that is long enough was renewed: %v", err)
		}
		held.Until = time.Now() // it has waited
		if err := intents.RenewLease(t.Context(), held, IntentLease/2); err != nil || isDue() {
			t.Errorf("a lease that was over and that nobody had taken was not renewed: %v", err)
		}
		expire()
		claimed, err := intents.Claim(t.Context(), 10)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		if err := intents.RenewLease(t.Context(), held, IntentLease/2); !errors.Is(err, ErrStale) {
			t.Errorf("somebody else has it, and RenewLease says %v", err)
		}
		if err := intents.RenewLease(t.Context(), claimed[0], IntentLease/2); err != nil {
			t.Errorf("whoever has claimed it holds it for %s: %v", time.Until(claimed[0].Until), err)
		}
	})
}

func TestNothingIsHeldInADatabaseThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "notifications", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		core.Circuit = sqldb.NewCircuit(sqldb.CircuitConfig{After: 1, Pause: 50 * time.Millisecond})
		intents, held := heldMail(t, core)
		if err := core.Circuit.Guard(t.Context(), func() error { return sqldb.ErrReadOnly }); err == nil {
			t.Fatal("the circuit swallows what happened")
		}
		if err := intents.RenewLease(t.Context(), held, IntentLease/2); !errors.Is(err, sqldb.ErrAway) {
			t.Errorf("nothing could be written, and RenewLease says %v", err)
		}
		late := time.Now().Add(10 * time.Second)
		for !core.Circuit.Closed() && time.Now().Before(late) { // its pause ends
			if err := intents.RenewLease(t.Context(), held, IntentLease/2); err != nil && !errors.Is(err, sqldb.ErrAway) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !core.Circuit.Closed() {
			t.Error("no write has shown that the database is back")
		}
	})
}
