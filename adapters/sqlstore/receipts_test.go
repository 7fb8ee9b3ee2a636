package sqlstore

import (
	"slices"
	"testing"

	"millrace/app/messages"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

func TestAPlanIsToldWhoHasHandledWhatItSendsAgain(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		const consumer = "payment-service.order.events"
		f.store.Delivering(map[string][]Receiver{"OrderCreated": {
			{messages.PaymentService, consumer}, {messages.Orchestrator, "orchestrator.order.events"},
		}})
		f.hear(t, f.orderID, created(f.orderID))
		said := func() (inboxes []string, handled int, charges bool) {
			p := f.plan(t, saga.Redrive)
			if len(p.Items) != 1 || len(p.Items[0].Sends) != 1 || p.Items[0].Sends[0].Type != "OrderCreated" {
				t.Fatalf("the plan is %+v", p)
			}
			for _, r := range p.Items[0].Sends[0].Receivers {
				inboxes = append(inboxes, r.Service+" "+r.Inbox)
			}
			return inboxes, p.Totals.Handled, p.NewEffects()
		}
		id := f.plan(t, saga.Redrive).Items[0].Sends[0].ID
		for _, c := range []struct{ payment, ordering string }{{"", ""}, {"done", ""}, {"dead", "done"}, {"parked", "done"}, {"done", "done"}} {
			f.inbox(t, messages.PaymentService, consumer, id, c.payment)
			f.inbox(t, messages.Orchestrator, "orchestrator.order.events", id, c.ordering)
			f.inbox(t, messages.PaymentService, "another."+consumer, id, "done") // whose receipt is nobody else's
			want := []string{messages.PaymentService + " " + or(c.payment), messages.Orchestrator + " " + or(c.ordering)}
			all := 0
			if c.payment == "done" && c.ordering == "done" {
				all = 1
			}
			if got, handled, charges := said(); !slices.Equal(got, want) || handled != all || charges != (c.payment == "") {
				t.Errorf("it says %q, %d handled by all, and that a card is charged: %t; want %q", got, handled, charges, want)
			}
		}
	})
}

func or(outcome string) string {
	if outcome == "" {
		return operator.InboxNone
	}
	return outcome
}

// inbox makes a service's inbox say something of a message.
func (f *floor) inbox(t *testing.T, service, consumer, id, outcome string) {
	t.Helper()
	db := f.cores[service].DB
	if _, err := db.ExecContext(t.Context(), db.Rebind("DELETE FROM inbox WHERE consumer = ? AND message_id = ?"), consumer, id); err != nil {
		t.Fatal(err)
	}
	if outcome == "" {
		return
	}
	query := db.Rebind("INSERT INTO inbox (consumer, message_id, outcome, handled_at) VALUES (?, ?, ?, " + db.Dialect.Now() + ")")
	if _, err := db.ExecContext(t.Context(), query, consumer, id, outcome); err != nil {
		t.Fatal(err)
	}
}
