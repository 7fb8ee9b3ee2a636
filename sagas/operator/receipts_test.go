package operator_test

import (
	"context"
	"errors"
	"testing"

	"millrace/domain/plan"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// Receipts says of every message what the yard's participant knows of it, and that the orchestrator has had it.
func (y *yard) Receipts(_ context.Context, again []engine.Again) (map[string][]operator.Receipt, error) {
	all := map[string][]operator.Receipt{}
	for _, a := range again {
		inbox := y.inbox[a.ID]
		if inbox == "" {
			inbox = operator.InboxNone
		}
		participant := "inventory-service"
		if a.Type == "OrderCreated" || a.Type == "RefundPayment" {
			participant = "payment-service"
		}
		all[a.ID] = []operator.Receipt{{Service: participant, Inbox: inbox}, {Service: "orchestrator", Inbox: operator.InboxDone}}
	}
	return all, nil
}

func TestAPlanSaysOfEachMessageWhoHasHandledIt(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.inbox = map[string]string{"ord_1.paid": operator.InboxDone, "ord_2.paid": operator.InboxDead}
		p := y.plan(t, saga.Redrive)
		if p.Totals.Deduplicated != 2 || p.Totals.Handled != 1 || p.Totals.Late != 1 {
			t.Errorf("the totals are %+v", p.Totals)
		}
		for n, want := range []string{operator.InboxNone, operator.InboxDone, operator.InboxDead} {
			got := p.Items[n].Sends[0].Receivers
			if effect := p.Items[n].Sends[0].Effect; (effect == operator.Late) != (want == operator.InboxNone) {
				t.Errorf("of %s, whose inbox says %s, it says %s", p.Items[n].OrderID, want, effect)
			}
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

// moneyed makes the yard's sagas wait for payment, which is to get a message that moves money.
func (y *yard) moneyed(at saga.Step, message string) {
	y.inbox = map[string]string{}
	for id, s := range y.sagas {
		s.State.Step = at
		s.Again = []engine.Again{{ID: id + ".paid", Type: message, Topic: "a.topic", Service: "orchestrator"}}
	}
}

// The ids are old; that a card is charged because of them is new to everybody.
func TestWhatPaymentNeverHadMovesMoneyAndWantsTheWordForIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at      saga.Step
		message string
		words   string
	}{
		{saga.AwaitingPayment, "OrderCreated", "redrive 4 sagas: 4 messages again (2 late), 0 new, 0 mails, 100 LKR charged, nothing given back"},
		{saga.New, "OrderCreated", "redrive 4 sagas: 4 messages again (2 late), 0 new, 0 mails, 100 LKR charged, nothing given back"},
		{saga.UndoingPayment, "RefundPayment", "redrive 4 sagas: 4 messages again (2 late), 0 new, 0 mails, nothing charged, 100 LKR given back"},
	} {
		each(t, 4, func(t *testing.T, y *yard) {
			y.moneyed(c.at, c.message)
			y.inbox["ord_1.paid"], y.inbox["ord_2.paid"] = operator.InboxDone, operator.InboxDead
			y.sagas["ord_3"].Books.Answer = "PaymentSucceeded" // the inbox has forgotten, the books have not
			p := y.plan(t, saga.Redrive)
			if got := p.String(); got != c.words || p.Totals.Deduplicated != 2 || p.Totals.Late != 2 {
				t.Errorf("in %s it says %s, and %+v", c.at, got, p.Totals)
			}
			if _, err := y.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, plan.ErrNewEffects) || len(y.begun) != 0 {
				t.Errorf("without the word: %v, and %d were begun", err, len(y.begun))
			}
			for id := range y.sagas {
				y.inbox[id+".paid"] = operator.InboxDone
			}
			if p := y.plan(t, saga.Redrive); p.NewEffects() || p.Totals.Late != 0 || p.Totals.Handled != 4 {
				t.Errorf("handled by all, it comes to %+v", p.Totals)
			}
			r := request(p)
			r.NewEffects = true
			if _, err := y.desk().Apply(t.Context(), p, r, func(plan.Result) {}); err != nil || len(y.begun) != 4 {
				t.Errorf("with it: %v, and %d were begun", err, len(y.begun))
			}
		})
	}
}

func TestWhatInventoryNeverHadMovesNoMoneyAndWantsNoWord(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, y *yard) {
		p := y.plan(t, saga.Redrive)
		if p.NewEffects() || p.String() != "redrive 2 sagas: 2 messages again (2 late), 0 new, 0 mails, nothing charged, nothing given back" {
			t.Errorf("the plan is %s, %+v", p, p.Totals)
		}
		want(t, y.apply(t, p, plan.Pace{}), "2 verified, 0 failed again, 0 skipped, 0 timed out")
	})
}
