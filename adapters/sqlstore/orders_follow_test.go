package sqlstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	"millrace/domain/order"
	"millrace/sagas/engine"
)

func TestWhatWasAddedToTimelinesIsReadForManyOrdersAtOnce(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		store, place := NewOrders(core), newPlace(t, core)
		carry := engine.New(NewSagas(core), engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, silent{}, "test", time.Now)
		deliver := func(m messages.Message) {
			t.Helper()
			cause := messages.Cause{Consumer: "orchestrator.x", MessageID: m.Name() + m.Order(), Type: m.Name()}
			if err := carry.Handle(messages.WithCause(t.Context(), cause), m); err != nil {
				t.Fatal(err)
			}
		}
		var ids []string
		for range 4 {
			answer, err := place.Handle(t.Context(), wish)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, answer.OrderID)
			deliver(&messages.OrderCreated{OrderID: answer.OrderID, UserID: "usr_1", Total: 2400, Currency: "LKR"})
		}
		still, paid, confirmed, failed := ids[0], ids[1], ids[2], ids[3]
		names := map[order.ID]string{order.ID(still): "still", order.ID(paid): "paid", order.ID(confirmed): "confirmed", order.ID(failed): "failed"}
		since := func(seen map[order.ID]int) string {
			t.Helper()
			moved, err := store.Since(t.Context(), seen)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, p := range moved { // in the sequence of their ids, which is that of their placing
				line := fmt.Sprintf("%s %s%s:", names[p.ID], p.Status, p.Reason)
				for _, e := range p.Entries {
					if e.EventID == "" || e.At.IsZero() || e.At.Location() != time.UTC {
						t.Errorf("an entry is %+v", e)
					}
					line += fmt.Sprintf(" %d %s %s", e.Seq, e.Event, e.Status)
				}
				told = append(told, line)
			}
			return strings.Join(told, "\n")
		}
		all := map[order.ID]int{order.ID(still): 1, order.ID(paid): 1, order.ID(confirmed): 1, order.ID(failed): 1}
		if got := since(all); got != "" {
			t.Errorf("nothing has happened, and it tells\n%s", got)
		}
		deliver(&messages.PaymentSucceeded{OrderID: paid})
		deliver(&messages.PaymentSucceeded{OrderID: confirmed})
		deliver(&messages.InventoryReserved{OrderID: confirmed})
		deliver(&messages.PaymentFailed{OrderID: failed, Reason: "declined"})
		want := strings.Join([]string{
			"paid PAID: 2 PaymentSucceeded PAID",
			"confirmed CONFIRMED: 2 PaymentSucceeded PAID 3 InventoryReserved PAID 4 OrderCompleted CONFIRMED",
			"failed FAILEDpayment_declined: 2 PaymentFailed PROCESSING 3 OrderCompleted FAILED",
		}, "\n")
		if got := since(all); got != want {
			t.Errorf("it tells\n%s\nwant\n%s", got, want)
		}
		want = "still PROCESSING: 1 OrderCreated PENDING\nconfirmed CONFIRMED: 4 OrderCompleted CONFIRMED"
		if got := since(map[order.ID]int{order.ID(still): 0, order.ID(paid): 2, order.ID(confirmed): 3, "ord_unknown": 0}); got != want {
			t.Errorf("behind other entries, without the last order, it tells\n%s\nwant\n%s", got, want)
		}
	})
}

func TestAnOrderThatIsFollowedCostsALookIntoAnIndex(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		store := NewOrders(newCore(open(t)))
		query, args := store.since(map[order.ID]int{"ord_1": 1, "ord_2": 3})
		plan := planOf(t, store.core.DB, query, args...)
		for _, bad := range []string{"SCAN l", "SCAN o", "Seq Scan", "AUTOMATIC"} {
			if strings.Contains(plan, bad+"\n") || strings.Contains(plan, bad+" ") {
				t.Errorf("it reads more than it gives:\n%s", plan)
			}
		}
		if !strings.Contains(plan, "order_id=? AND seq>?") && !strings.Contains(plan, "Index Cond: ((order_id = w.id) AND (seq > w.seq))") {
			t.Errorf("timelines are not read by order and entry:\n%s", plan)
		}
	})
}

var _ orderapp.Timelines = (*Orders)(nil)
