package operator_test

import (
	"context"
	"testing"

	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// Receipts says of every message what the yard's inventory knows of it, and that the orchestrator has had it.
func (y *yard) Receipts(_ context.Context, again []engine.Again) (map[string][]operator.Receipt, error) {
	all := map[string][]operator.Receipt{}
	for _, a := range again {
		inbox := y.inbox[a.ID]
		if inbox == "" {
			inbox = operator.InboxNone
		}
		all[a.ID] = []operator.Receipt{{Service: "inventory-service", Inbox: inbox}, {Service: "orchestrator", Inbox: operator.InboxDone}}
	}
	return all, nil
}

func TestAPlanSaysOfEachMessageWhoHasHandledIt(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.inbox = map[string]string{"ord_1.paid": operator.InboxDone, "ord_2.paid": operator.InboxDead}
		p := y.plan(t, saga.Redrive)
		if p.Totals.Deduplicated != 3 || p.Totals.Handled != 1 {
			t.Errorf("the totals are %+v", p.Totals)
		}
		for n, want := range []string{operator.InboxNone, operator.InboxDone, operator.InboxDead} {
			got := p.Items[n].Sends[0].Receivers
			if len(got) != 2 || got[0] != (operator.Receipt{Service: "inventory-service", Inbox: want}) || got[1].Inbox != operator.InboxDone {
				t.Errorf("of %s it says %+v", p.Items[n].OrderID, got)
			}
		}
		q := p
		q.Totals.Handled = 3
		if _, err := y.desk().Apply(t.Context(), q, request(q), nil); err == nil {
			t.Error("what the inboxes say is not under the plan's seal")
		}
	})
}
