package journal_test

import (
	"errors"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

type attempt struct {
	Outcome    string `db:"outcome"`
	Definition int    `db:"definition"`
	Error      string `db:"error"`
}

func (o *ordering) attempts(id string) (all []attempt) {
	o.t.Helper()
	o.must(o.db.Read.SelectContext(o.t.Context(), &all, "SELECT outcome, definition, error FROM saga_journal WHERE order_id = '"+id+"' ORDER BY seq"))
	return all
}

// A panic is caught by the consumer, outside of the engine, which must not keep it from its entry.
func TestADecisionThatPanicsLeavesAnEntryAndStaysAPanic(t *testing.T) {
	t.Parallel()
	o := newOrdering(t, adaptertest.SQLite(t, "orders"))
	s := o.order("ord_1").hears("OrderCreated")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		o.panics = 1
		s.hears("PaymentSucceeded")
	}()
	func() {
		defer func() { _ = recover() }()
		o.panics = 1
		s.timesOut(saga.PaymentTimer, 1)
	}()
	s.hears("PaymentSucceeded")
	all := o.attempts("ord_1")
	if len(all) != 4 || all[1].Outcome != replay.Failed || all[1].Error != "panic: the handler was unlucky" || all[2].Outcome != replay.Failed || all[3].Outcome != "applied" {
		t.Errorf("%+v", all)
	}
	if broken := replayed(t, o, "ord_1"); broken != "" {
		t.Error(broken)
	}
}

func TestAnAttemptWithoutCodeForTheSagaWaitsAndLeavesNoEntry(t *testing.T) {
	t.Parallel()
	o := newOrdering(t, adaptertest.SQLite(t, "orders"))
	o.order("ord_1").hears("OrderCreated")
	_, err := o.db.ExecContext(t.Context(), "UPDATE sagas SET definition = 99")
	o.must(err)
	err = o.engine.Handle(messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "m"}), &messages.PaymentFailed{OrderID: "ord_1"})
	if !errors.Is(err, engine.ErrDefinition) {
		t.Errorf("%v", err)
	}
	if all := o.attempts("ord_1"); len(all) != 1 { // it is tried until a build with the code takes it
		t.Errorf("%+v", all)
	}
}

// replayed says what is not OK with a history.
func replayed(t *testing.T, o *ordering, id string) string {
	t.Helper()
	s, err := journal.New(o.db, 0, o.clock).Histories(t.Context(), audit.Query{}, id)
	o.must(err)
	defer func() { _ = s.Close() }()
	for h, err := range s.All() {
		o.must(err)
		if r := replay.Replay(h, replay.Options{}); r.Verdict != replay.OK {
			return r.Divergences[0].String()
		}
	}
	return ""
}
