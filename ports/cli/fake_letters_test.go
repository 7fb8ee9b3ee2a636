package cli_test

import (
	"context"
	"time"

	"millrace/app/deadletters"
	"millrace/domain/plan"
)

// fakeLetters keeps three letters that wait. letter-1 takes effect when it is sent again, all others
// fail again.
type fakeLetters struct{ begun map[string]int }

func (f *fakeLetters) List(_ context.Context, filter deadletters.Filter) ([]deadletters.Letter, error) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	message := deadletters.Letter{
		ID: "letter-1", State: "waiting", Version: 1, Service: "inventory-service", Consumer: "inventory-service.payment.events", Handler: "reserve_stock",
		OrderID: "ord_1", Type: "PaymentSucceeded", Reason: "bad_data", Attempts: 1, Position: 1, Parked: 3, FirstAt: at, LastAt: at.Add(time.Hour),
	}
	another, act := message, message
	another.ID, another.OrderID, another.Parked = "letter-3", "ord_2", 0
	act.ID, act.Service, act.Consumer, act.Handler, act.Type, act.Reason, act.Parked = "ord_1:refund", "payment-service", "intent_refund", "intent_refund", "refund", "provider_refused", 0
	found := []deadletters.Letter{}
	for _, l := range []deadletters.Letter{message, another, act} {
		if (filter.Handler == "" || filter.Handler == l.Handler) && (filter.Service == "" || filter.Service == l.Service) &&
			(filter.ID == "" || filter.ID == l.ID) && (filter.Until.IsZero() || !l.LastAt.After(filter.Until)) {
			found = append(found, l)
		}
	}
	return found, nil
}

func (f *fakeLetters) Show(ctx context.Context, id string) (deadletters.Whole, error) {
	letters, _ := f.List(ctx, deadletters.Filter{ID: id})
	if len(letters) == 0 {
		return deadletters.Whole{}, deadletters.ErrNoLetter
	}
	behind := letters[0]
	behind.ID, behind.State = "letter-2", "parked"
	return deadletters.Whole{
		Letter: letters[0], MessageID: "e1", Topic: "payment.events", Partition: 3, Offset: 17, Key: []byte("ord_1"), Payload: []byte(`{"eventId":"e1"}`),
		Headers: map[string]string{"eventId": "e1"}, Error: "the data does not fit", Behind: []deadletters.Letter{behind},
		Log: []deadletters.Line{{At: letters[0].FirstAt, Act: "redrive", Actor: "maya", Reason: "the catalog was wrong"}},
	}, nil
}

func (f *fakeLetters) AcquireLease(context.Context, string, plan.Attribution) error { return nil }

func (f *fakeLetters) ReleaseLease(context.Context, string, plan.Attribution) error { return nil }

func (f *fakeLetters) RenewLeases(context.Context, plan.Attribution) ([]string, error) {
	return nil, nil
}

func (f *fakeLetters) Begun(context.Context, string, plan.Attribution) ([]string, error) {
	return nil, nil
}

func (f *fakeLetters) Redrive(_ context.Context, item deadletters.Item, _ plan.Attribution) error {
	f.begun[item.ID] = item.Version
	return nil
}

func (f *fakeLetters) Discard(context.Context, deadletters.Item, plan.Attribution) error { return nil }

func (f *fakeLetters) Settle(context.Context, deadletters.Item, string, plan.Attribution) error {
	return nil
}

func (f *fakeLetters) SettleOutcomes(handler string) []string {
	if handler == "intent_refund" {
		return []string{"refunded"}
	}
	return nil
}

// Effects has the refund give money back, and what is parked behind letter-1 done already.
func (f *fakeLetters) Effects(_ context.Context, action, _ string, letters []deadletters.Letter) (map[string]deadletters.Effects, error) {
	all := map[string]deadletters.Effects{}
	for _, l := range letters {
		s := deadletters.NoEffects()
		if action == deadletters.ActRedrive && l.Type == "refund" {
			s.Refunds["LKR"] = 2400
		}
		if l.ID == "letter-1" {
			s.Deduplicated = 1
		}
		all[l.ID] = s
	}
	return all, nil
}

func (f *fakeLetters) Progress(_ context.Context, _ string, ids []string) (map[string]deadletters.Progress, error) {
	found := map[string]deadletters.Progress{}
	for _, id := range ids {
		p := deadletters.Progress{State: "waiting", Version: 1}
		if version, begun := f.begun[id]; begun {
			p = deadletters.Progress{State: "waiting", Version: version + 2, Error: "the data does not fit"}
			if id == "letter-1" {
				p = deadletters.Progress{State: "done", Version: version + 2, Handled: true}
			}
		}
		found[id] = p
	}
	return found, nil
}

func (f *fakeLetters) Behind(context.Context, deadletters.Item) ([]deadletters.Letter, error) {
	return nil, nil
}

func (f *fakeLetters) Note(context.Context, deadletters.Item, string, plan.Attribution, plan.Result) error {
	return nil
}
