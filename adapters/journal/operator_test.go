package journal_test

import (
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// operates lets an operator act on the saga as it is.
func (s *story) operates(act saga.Act, found string) *story {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	var version int
	s.must(s.db.GetContext(s.t.Context(), &version, s.db.Rebind("SELECT version FROM sagas WHERE order_id = ?"), s.id))
	acts := engine.NewOperator(sqlstore.NewOperator(s.books), "corpus", s.clock)
	o := engine.Command{
		ID: engine.ActID(s.id, act, version), Act: act, OrderID: s.id, Version: version, Found: found,
		From: saga.Version, To: 1, Timeouts: engine.Timeouts{Payment: time.Minute, Inventory: time.Minute}, By: plan.Attribution{Actor: "maya", Reason: "it stood still", Plan: s.id + act.String()},
	}
	s.must(acts.Operate(s.t.Context(), o))
	return s
}

// reserved lets inventory's books say that it has what the order wants.
func (s *story) reserved() *story {
	s.t.Helper()
	db := s.books[messages.InventoryService].DB
	_, err := db.ExecContext(s.t.Context(), db.Rebind("INSERT INTO reservations (order_id, state, lines, created_at, updated_at) VALUES (?, 'held', '[]', ?, ?)"),
		s.id, s.now, s.now)
	s.must(err)
	return s
}

// keepBooks gives ordering the databases of its participants beside its own.
func (o *ordering) keepBooks(t *testing.T) {
	t.Helper()
	beside := func(schema string) *sqlstore.Core {
		return sqlstore.NewCore(sqlstore.Config{DB: adaptertest.SQLite(t, schema), Observer: quiet{}})
	}
	o.books = map[string]*sqlstore.Core{
		messages.Orchestrator: o.core, messages.PaymentService: beside("payments"), messages.InventoryService: beside("inventory"),
	}
}

// What an operator did stands in the journal like anything else, and is decided again like anything else.
func TestAHistoryWithAnOperatorsActsIsReplayed(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		o := newOrdering(t, db)
		o.keepBooks(t)
		o.order("ord_resumed").hears("OrderCreated").operates(saga.Resume, "").hears("PaymentSucceeded", "InventoryReserved")
		o.order("ord_fired").hears("OrderCreated").operates(saga.FireTimer, "").hears("InventoryReleased", "PaymentRefunded")
		o.order("ord_skipped").hears("OrderCreated", "PaymentSucceeded").reserved().operates(saga.SkipStep, "InventoryReserved")
		o.order("ord_retried").hears("OrderCreated", "PaymentSucceeded", "InventoryFailed").operates(saga.RetryStep, "").hears("PaymentRefunded")
		o.order("ord_compensated").hears("OrderCreated").operates(saga.Compensate, "").hears("InventoryReleased", "PaymentRefunded")
		o.order("ord_migrated").hears("OrderCreated", "PaymentSucceeded").operates(saga.ToVersion, "").timesOut(saga.InventoryTimer, 2).hears("InventoryReleased", "PaymentRefunded")
		s, err := journal.New(db, 0, o.clock).Histories(t.Context(), audit.Query{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		acts := 0
		for h, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			redacted, err := replay.Redact(h, []byte("salt"))
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range []replay.History{h, redacted} {
				if r := replay.Replay(one, replay.Options{}); r.Verdict != replay.OK {
					t.Errorf("%s: %s %+v", h.Saga.OrderID, r.Verdict, r.Divergences)
				}
			}
			for i, e := range h.Entries {
				if !saga.IsAct(e.Type) {
					continue
				}
				acts++
				if string(redacted.Entries[i].Payload) == string(e.Payload) {
					t.Errorf("%s: the redacted act still says who: %s", h.Saga.OrderID, e.Payload)
				}
			}
		}
		if acts != 6 || s.Sagas != 6 {
			t.Errorf("%d acts in %d histories", acts, s.Sagas)
		}
	})
}
