package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Two sagas wait for the same inventory, one of each version: the older gives up at the first
// time-out, the newer waits once more and is confirmed. A build that has no code for a saga that is
// open does not start, and leaves it as it is.
func TestTwoVersionsOfTheSagaRunSideBySide(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, "INVENTORY_TIMEOUT=5s")
	db := s.sqlite(t, "orders")
	timedOut := func(id string) bool {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM saga_journal WHERE order_id = ? AND type = 'InventoryTimedOut' AND outcome = 'applied'", id).Scan(&n)
		return err == nil && n > 0
	}
	makes := func(version int, id string) {
		t.Helper()
		must(t, db, fmt.Sprintf("UPDATE sagas SET definition = %d WHERE order_id = '%s'", version, id))
	}
	paid := func(o order) bool { return o.Status == "PAID" || o.ended() }

	release := s.holdInventory(t)
	newer, older := s.place(t, wish{}), s.place(t, wish{})
	for _, id := range []string{newer, older} {
		s.awaitOrder(t, id, soon, "is paid", paid)
	}
	makes(1, older)
	await(t, soon, "both have timed out", func() bool { return timedOut(newer) && timedOut(older) })
	if o := s.show(t, newer); o.Status != "PAID" || !slices.Equal(o.AllowedActions, []string{"cancel"}) {
		t.Errorf("the newer is %s and allows %v: it has given up", o.Status, o.AllowedActions)
	}
	release()
	if o := s.awaitEnd(t, newer, soon); o.Status != "CONFIRMED" || o.events() != "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted" {
		t.Errorf("the newer ended %s %q: %s", o.Status, o.Reason, o.events())
	}
	if o := s.awaitEnd(t, older, soon); o.Status != "FAILED" || o.Reason != "inventory_timeout" {
		t.Errorf("the older ended %s %q: %s", o.Status, o.Reason, o.events())
	}

	release = s.holdInventory(t)
	open := s.place(t, wish{})
	s.awaitOrder(t, open, soon, "is paid", paid)
	s.kill()
	release()
	makes(99, open)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{up(s.data, s.base), 4, "1 of version 99"},
		{[]string{"doctor", "--data", s.data}, 2, "no code for open sagas: 1 of version 99"},
		{[]string{"saga", "drain", "--data", s.data}, 4, "1 sagas of version 99 are open"},
		{[]string{"saga", "show", open, "--data", s.data}, 0, "definition"},
	} {
		asked := spawn(t, t, s.env, c.args...)
		asked.ends(t, 30*time.Second, c.code)
		if said := asked.stdout.String() + asked.stderr.String(); !strings.Contains(said, c.says) {
			t.Errorf("%s does not say %q:\n%s", asked.name, c.says, tail(said, 10))
		}
	}
	makes(2, open)
	s.start(t)
	if o := s.awaitEnd(t, open, soon); o.Status != "CONFIRMED" {
		t.Errorf("the one that was left as it was ended %s %q: %s", o.Status, o.Reason, o.events())
	}
	s.replayed(t)
	s.verified(t)
}
