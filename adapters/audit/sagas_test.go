package audit_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/audit"
	"millrace/adapters/sqldb"
	report "millrace/app/audit"
	orderapp "millrace/app/order"
	"millrace/domain/fault"
	saga "millrace/sagas/order"
)

func TestAQueryChoosesSagas(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		pending := w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-2", Qty: 1})
		now := time.Now()
		cases := map[string]struct {
			q    report.Query
			want []string // newest first
		}{
			"all":         {report.Query{}, []string{pending, o.cancelled, o.refunded, o.declined, o.confirmed}},
			"status":      {report.Query{Status: "FAILED"}, []string{o.refunded, o.declined}},
			"state":       {report.Query{State: "confirmed"}, []string{o.confirmed}},
			"not begun":   {report.Query{State: "new"}, []string{pending}},
			"reason":      {report.Query{Reason: "out_of_stock"}, []string{o.refunded}},
			"user":        {report.Query{User: "usr_002"}, nil},
			"sku":         {report.Query{SKU: "SKU-2"}, []string{pending, o.confirmed}},
			"version":     {report.Query{Version: saga.Version, Status: "CONFIRMED"}, []string{o.confirmed}},
			"other code":  {report.Query{Version: saga.Version + 1}, nil},
			"since":       {report.Query{Since: now.Add(time.Minute)}, nil},
			"until":       {report.Query{Until: now.Add(-time.Hour)}, nil},
			"young":       {report.Query{Older: time.Hour}, nil},
			"not stuck":   {report.Query{Stuck: true}, nil},
			"all must be": {report.Query{Status: "FAILED", Reason: "payment_declined"}, []string{o.declined}},
		}
		read := func(at time.Time, q report.Query) []string {
			t.Helper()
			list, err := audit.NewSagas(w.dbs.Ordering, 0, func() time.Time { return at }).List(t.Context(), q)
			w.must(err)
			var ids []string
			for _, s := range list.Items {
				ids = append(ids, s.OrderID)
			}
			counted := 0
			for n := range maps.Values(list.States) {
				counted += n
			}
			if counted != list.Total || q.Limit == 0 && list.Total != len(ids) {
				t.Errorf("%+v: %d sagas, %v", q, list.Total, list.States)
			}
			return ids
		}
		for name, c := range cases {
			if got := read(now, c.q); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		later := now.Add(3 * time.Minute)
		if got := read(later, report.Query{Stuck: true}); !slices.Equal(got, []string{pending}) {
			t.Errorf("stuck are %v", got)
		}
		if got := read(later, report.Query{Older: time.Minute}); len(got) != 5 {
			t.Errorf("older are %v", got)
		}
		if got := read(now, report.Query{Limit: 2}); !slices.Equal(got, []string{pending, o.cancelled}) {
			t.Errorf("the first two are %v", got)
		}
	})
}

func TestAHistoryShowsEveryMessageAndItsDecision(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		h, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), o.cancelled)
		w.must(err)
		var lines []string
		for _, e := range h.Journal {
			sent := "-"
			if len(e.Sent) > 0 {
				sent = e.Sent[0].Type
			}
			lines = append(lines, strings.Join([]string{e.Type, e.Outcome, e.From, e.To, sent}, " "))
		}
		want := []string{
			"OrderCreated applied new awaiting_payment -",
			"OrderCancelRequested applied awaiting_payment undoing_inventory ReleaseInventory",
		}
		if len(lines) < 4 || !slices.Equal(lines[:2], want) || lines[len(lines)-1] != "PaymentRefunded applied undoing_payment cancelled OrderCompleted" {
			t.Errorf("the journal is\n%s", strings.Join(lines, "\n"))
		}
		if !h.Chain.OK || h.Chain.Entries != len(lines) || h.Saga.State != "cancelled" || len(h.Timers) != 0 {
			t.Errorf("%+v %+v %v", h.Chain, h.Saga, h.Timers)
		}
		if _, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), "ord_none"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("of no order: %v", err)
		}
	})
}

func TestAnOrderThatHasNotBegunHasAnEmptyHistory(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		id := w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-1", Qty: 1})
		h, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), id)
		w.must(err)
		if h.Saga.State != "new" || !h.Chain.OK || len(h.Journal) != 0 {
			t.Errorf("%+v", h)
		}
		w.step()
		if h, err = audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), id); err != nil || len(h.Timers) != 1 || h.Timers[0].Name != "payment" {
			t.Errorf("%+v %v", h.Timers, err)
		}
	})
}

func TestAChangedJournalDoesNotFitItsChain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		sabotage string
		at       int
	}{
		"payload": {`UPDATE saga_journal SET payload = replace(payload, 'LKR', 'USD') WHERE order_id = {confirmed} AND seq = 2`, 2},
		"time":    {`UPDATE saga_journal SET at = (SELECT min(at) FROM saga_journal) WHERE order_id = {confirmed} AND seq = 3`, 3},
		"outcome": {`UPDATE saga_journal SET outcome = 'absorbed' WHERE order_id = {confirmed} AND seq = 1`, 1},
		"state":   {`UPDATE saga_journal SET state_after = state_before WHERE order_id = {confirmed} AND seq = 2`, 2},
		"sent":    {`UPDATE saga_journal SET sent = '[]' WHERE order_id = {confirmed} AND seq = 3`, 3},
		"timers":  {`UPDATE saga_journal SET timers = '{"set":null,"cleared":null}' WHERE order_id = {confirmed} AND seq = 1`, 1},
		"offset":  {`UPDATE saga_journal SET offset_no = offset_no + 1 WHERE order_id = {confirmed} AND seq = 1`, 1},
		"garbage": {`UPDATE saga_journal SET state_after = 'garbage' WHERE order_id = {confirmed} AND seq = 2`, 2},
		"a gap":   {`DELETE FROM saga_journal WHERE order_id = {confirmed} AND seq = 2`, 2},
		"its end": {`DELETE FROM saga_journal WHERE order_id = {confirmed} AND seq = 3`, 3},
		"forged":  {`UPDATE saga_journal SET hash = 'f' WHERE order_id = {confirmed} AND seq = 3`, 3},
	}
	eachWorld(t, func(t *testing.T, w *world) {
		for name, c := range cases {
			o := w.full()
			w.sabotage(w.dbs.Ordering, c.sabotage, o)
			h, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), o.confirmed)
			w.must(err)
			if h.Chain.OK || h.Chain.BrokenAt != c.at || h.Chain.Why == "" {
				t.Errorf("%s: %+v", name, h.Chain)
			}
		}
	})
}

// What is read lies in files that another process may be writing, or has left.
func TestAReaderThatMustNotWriteReadsBesideAWriterAndAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(schema string) *sqldb.DB { return adaptertest.SQLite(t, schema) })
	o := w.full()
	for _, when := range []string{"beside", "after"} {
		db := sqldb.OpenSQLiteReadOnly(w.dbs.Ordering.Name)
		h, err := audit.NewSagas(db, 0, time.Now).Show(t.Context(), o.confirmed)
		if err != nil || !h.Chain.OK {
			t.Errorf("%s the writer: %+v %v", when, h.Chain, err)
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM sagas"); err == nil || errors.Is(err, sqldb.ErrAway) {
			t.Errorf("%s the writer: deleting gives %v", when, err)
		}
		w.must(db.Close())
		w.must(w.dbs.Ordering.Close())
	}
}

func TestTheDatabaseRefusesToChangeAJournal(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		for _, statement := range []string{
			"UPDATE saga_journal SET outcome = 'absorbed' WHERE order_id = ?", "DELETE FROM saga_journal WHERE order_id = ?",
			"INSERT INTO saga_journal SELECT * FROM saga_journal WHERE order_id = ?",
		} {
			if _, err := w.dbs.Ordering.ExecContext(t.Context(), w.dbs.Ordering.Rebind(statement), o.confirmed); err == nil {
				t.Errorf("%s was done", statement)
			}
		}
		if w.dbs.Ordering.Dialect == sqldb.SQLite {
			replacing := "INSERT OR REPLACE INTO saga_journal SELECT * FROM saga_journal WHERE order_id = ?"
			if _, err := w.dbs.Ordering.ExecContext(t.Context(), replacing, o.confirmed); err == nil {
				t.Error("INSERT OR REPLACE was done")
			}
		} else {
			if _, err := w.dbs.Ordering.ExecContext(t.Context(), "TRUNCATE saga_journal"); err == nil {
				t.Error("TRUNCATE was done")
			}
		}
		h, err := audit.NewSagas(w.dbs.Ordering, 0, time.Now).Show(t.Context(), o.confirmed)
		w.must(err)
		if !h.Chain.OK || h.Chain.Entries != 3 {
			t.Errorf("%+v", h.Chain)
		}
	})
}

func TestDefinitionsAreCountedByWhatIsOpen(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		sagas := audit.NewSagas(w.dbs.Ordering, 0, time.Now)
		if got, err := sagas.Definitions(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("before the first order: %v %v", got, err)
		}
		o := w.full()
		pending := w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-2", Qty: 1})
		w.step()
		w.exec(w.dbs.Ordering, "UPDATE sagas SET definition = 7 WHERE order_id = ?", o.declined)
		got, err := sagas.Definitions(t.Context())
		w.must(err)
		if len(got) != 2 || got[0].Version != saga.Version || got[0].Open != 1 || got[0].Ended != 3 || got[1].Version != 7 || got[1].Open != 0 || got[1].Ended != 1 {
			t.Fatalf("%+v", got)
		}
		h, err := sagas.Show(t.Context(), pending)
		w.must(err)
		if !got[0].Oldest.Equal(h.Saga.PlacedAt) || !got[1].Oldest.IsZero() {
			t.Errorf("the oldest are %s and %s, want %s and none", got[0].Oldest, got[1].Oldest, h.Saga.PlacedAt)
		}
	})
}
