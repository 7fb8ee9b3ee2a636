package cli_test

import (
	"context"
	"time"

	"millrace/app/audit"
	"millrace/domain/plan"
	"millrace/ports/cli"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// fakeActs is a desk over one saga that stands in awaiting_inventory, and goes on when its messages are
// sent again.
func fakeActs(context.Context, cli.Where, cli.Access) (cli.Acts, func() error, error) {
	store := &fakeStandings{}
	pause := func(context.Context, time.Duration) error { return nil }
	clock := today
	desk := operator.NewDesk(store, store, engine.Timeouts{Payment: 30 * time.Second, Inventory: 45 * time.Second}, func() time.Time { clock = clock.Add(time.Second); return clock }, pause)
	return struct {
		*operator.Desk
		*fakeStandings
	}{desk, store}, func() error { return nil }, nil
}

type fakeStandings struct{}

func (f *fakeStandings) Standings(_ context.Context, orderIDs []string) (map[string]operator.Standing, error) {
	all := map[string]operator.Standing{}
	for _, id := range orderIDs {
		s := saga.Start()
		s.Step, s.Entry = saga.AwaitingInventory, 2
		all[id] = operator.Standing{Version: 1, Definition: saga.Version, State: s, Total: 2400, Currency: "LKR",
			Again: []engine.Again{{ID: "e7", Type: "PaymentSucceeded", Topic: "payment.events", Service: "payment-service"}}}
	}
	return all, nil
}

func (f *fakeStandings) Progress(_ context.Context, orderIDs []string) (map[string]operator.Progress, error) {
	all := map[string]operator.Progress{}
	for _, id := range orderIDs {
		s := saga.Start()
		s.Step, s.Entry = saga.Confirmed, 3
		all[id] = operator.Progress{Version: 4, State: s}
	}
	return all, nil
}

func (f *fakeStandings) Operate(context.Context, engine.Command) error { return nil }

// Receipts says of every message that the saga has had it, and inventory has not.
func (f *fakeStandings) Receipts(_ context.Context, again []engine.Again) (map[string][]operator.Receipt, error) {
	all := map[string][]operator.Receipt{}
	for _, a := range again {
		all[a.ID] = []operator.Receipt{{Service: "inventory-service", Inbox: operator.InboxNone}, {Service: "orchestrator", Inbox: operator.InboxDone}}
	}
	return all, nil
}

func (f *fakeStandings) RenewLeases(context.Context, string) error { return nil }

func (f *fakeStandings) Begun(context.Context, string) (map[string]time.Time, error) { return nil, nil }

func (f *fakeStandings) Note(context.Context, string, plan.Result) error { return nil }

func (f *fakeStandings) Audit(_ context.Context, filter audit.RecordFilter) ([]audit.Record, error) {
	all := []audit.Record{
		{At: today, ID: "a2", Act: "saga redrive", Target: "ord_1", OrderID: "ord_1", Actor: "maya", Reason: "the broker was lost", Plan: "5e", Outcome: "VERIFIED", Detail: "it is confirmed"},
		{At: today, ID: "a1", Act: "dlq discard", Target: "letter-1", Actor: "ben", Reason: "a test", Plan: "d1"},
	}
	if filter.Actor == "ben" {
		return all[1:], nil
	}
	return all, nil
}
