package audit_test

import (
	"strings"
	"testing"
	"time"

	"millrace/adapters/audit"
	"millrace/adapters/journal/archive"
	report "millrace/app/audit"
	orderapp "millrace/app/order"
	saga "millrace/sagas/order"
)

// archived runs the retention over everything that has ended.
func (w *world) archived() archive.Done {
	w.t.Helper()
	r, err := archive.New(archive.Config{DB: w.dbs.Ordering, Dir: w.t.TempDir(), Age: -time.Minute, Now: time.Now})
	w.must(err)
	done, err := r.Run(w.t.Context())
	w.must(err)
	return done
}

func TestTheBooksHoldAfterJournalsWereArchived(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		if done := w.archived(); done.Sagas != 4 {
			t.Fatalf("%+v", done)
		}
		if broken := w.verify(true); len(broken) > 0 {
			t.Errorf("broken are %v", broken)
		}
		h, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), o.confirmed)
		w.must(err)
		if !h.Chain.OK || len(h.Journal) != 0 || h.Archived == nil || h.Archived.Entries != 3 || !strings.HasPrefix(h.Archived.File, "sagas-") {
			t.Errorf("%+v %+v", h.Chain, h.Archived)
		}
		w.sabotage(w.dbs.Ordering, "UPDATE orders SET status = 'PAID' WHERE id = {confirmed}", o)
		if broken := w.verify(false); !strings.Contains(strings.Join(broken, " "), report.OutboxMatchesState) {
			t.Errorf("an archived order that has not ended breaks only %v", broken)
		}
	})
}

func TestAJournalThatIsGoneAndNotArchivedIsMissed(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		w.sabotage(w.dbs.Ordering, "DELETE FROM saga_journal WHERE order_id = {confirmed}", o)
		if broken := w.verify(true); !strings.Contains(strings.Join(broken, " "), report.OutboxMatchesState) {
			t.Errorf("broken are only %v", broken)
		}
	})
}

func TestAHistoryNamesTracesAndDeadLettersOfTheOrder(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		w.sabotage(w.dbs.Payments, `INSERT INTO dead_letters (id, message_id, order_id, service, consumer, handler, type, topic, partition_no,
			offset_no, headers, reason, error, attempts, first_at, last_at) SELECT 'letter', 'm', {confirmed}, 'payment-service', 'c', 'capture_payment', 'OrderCreated',
			'order.events', 0, 0, '{}', 'bad_data', 'e', 1, min(created_at), min(created_at) FROM payments`, o)
		sagas := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Beside(w.dbs.Payments, w.dbs.Inventory, w.dbs.Notifications)
		h, err := sagas.Show(t.Context(), o.confirmed)
		w.must(err)
		if len(h.Letters) != 1 || h.Letters[0].Handler != "capture_payment" || h.Letters[0].State != "waiting" || h.Letters[0].Service != "payment-service" {
			t.Errorf("%+v", h.Letters)
		}
		if len(h.Traces) != 1 || len(h.Traces[0]) != 32 {
			t.Errorf("the traces are %v", h.Traces)
		}
		if h, err = sagas.Show(t.Context(), o.declined); err != nil || len(h.Letters) != 0 {
			t.Errorf("of another order: %+v %v", h.Letters, err)
		}
	})
}

func TestSagasAreCountedByStateReasonVersionAndWhetherTheyAreStuck(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.full()
		w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-2", Qty: 1})
		list, err := audit.NewSagas(w.dbs.Ordering, 0, func() time.Time { return time.Now().Add(time.Hour) }).List(t.Context(), report.Query{Limit: 1})
		w.must(err)
		if list.Reasons["out_of_stock"] != 1 || list.Reasons["payment_declined"] != 1 || list.Versions[saga.Version] != 4 || list.Stuck != 1 || list.Total != 5 {
			t.Errorf("%+v", list)
		}
	})
}
