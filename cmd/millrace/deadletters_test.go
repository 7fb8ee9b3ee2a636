package main

import (
	"context"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/migrations"
	"millrace/ports/messaging"
)

// lettersAt gives databases of all services, in which one letter waits at each of some consumers.
func lettersAt(t *testing.T, all map[string]messages.Message) map[string]*sqldb.DB {
	t.Helper()
	dbs := map[string]*sqldb.DB{}
	for _, schema := range migrations.Schemas {
		dbs[schema] = adaptertest.SQLite(t, schema)
	}
	cores := coresOf(dbs)
	for service, m := range all {
		spec, _ := messages.SpecOf(m.Name())
		e, err := messages.Seal("0198f2a7-c1d0-7b7e-8000-000000000001", "0af7651916cd43dd8448eb211c80319c", time.Now(), m)
		if err != nil {
			t.Fatal(err)
		}
		value, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		consumer := service + "." + spec.Topic
		if err := sqlstore.NewDeadLetters(cores[service]).Keep(t.Context(), messages.DeadLetter{
			ID: service, MessageID: e.EventID, OrderID: m.Order(), Service: service, Consumer: consumer, Handler: consumer, Type: m.Name(),
			Topic: spec.Topic, Payload: value, Headers: map[string]string{}, FirstAt: time.Now(), LastAt: time.Now(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	return dbs
}

func TestWhatComesOfALetterIsPreviewedByTheHandlersOfItsService(t *testing.T) {
	t.Parallel()
	order := &messages.OrderCreated{
		OrderID: "ord_1", UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 1200}}, Total: 2400, Currency: "LKR", PaymentMethod: "pm_card_ok",
	}
	dbs := lettersAt(t, map[string]messages.Message{
		messages.PaymentService:      order,
		messages.Orchestrator:        order, // the saga answers by what follows, and does nothing outside
		messages.InventoryService:    &messages.PaymentSucceeded{OrderID: "ord_1", Items: []messages.Quantity{{SKU: "SKU-1", Qty: 2}}},
		messages.NotificationService: &messages.OrderCompleted{OrderID: "ord_1", UserID: "usr_1", Status: "CONFIRMED", Total: 2400, Currency: "LKR"},
	})
	p, err := deadletters.NewDesk(letters(dbs), time.Now, sleep).Plan(t.Context(), deadletters.Filter{}, "", deadletters.ActRedrive, "")
	if err != nil {
		t.Fatal(err)
	}
	const words = "redrive 4 letters: 1 mails, 2400 LKR charged, nothing given back"
	if p.String() != words {
		t.Errorf("the plan is %q, want %q", p, words)
	}
	for _, i := range p.Items {
		moves := i.Service == messages.PaymentService || i.Service == messages.NotificationService
		if i.Effects.Moves() != moves {
			t.Errorf("at %s it is %+v", i.Service, i.Effects)
		}
	}
}

func TestAHandlerThatThisBuildDoesNotKnowIsNotTakenForHarmless(t *testing.T) {
	t.Parallel()
	order := &messages.OrderCreated{
		OrderID: "ord_1", UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 1200}}, Total: 2400, Currency: "LKR", PaymentMethod: "pm_card_ok",
	}
	dbs := lettersAt(t, map[string]messages.Message{
		messages.PaymentService:      order,
		messages.Orchestrator:        order,
		messages.NotificationService: &messages.OrderCancelRequested{OrderID: "ord_1"}, // which no handler of it takes
	})
	for _, db := range dbs {
		if _, err := db.ExecContext(t.Context(), "UPDATE dead_letters SET handler = 'charge_in_two_steps' WHERE service <> 'notification-service'"); err != nil {
			t.Fatal(err)
		}
	}
	p, err := deadletters.NewDesk(letters(dbs), time.Now, sleep).Plan(t.Context(), deadletters.Filter{}, "", deadletters.ActRedrive, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range p.Items {
		if i.Effects.Moves() != (i.Service != messages.Orchestrator) {
			t.Errorf("at %s it is %+v", i.Service, i.Effects)
		}
	}
	if p.Totals.Unreadable != 2 {
		t.Errorf("the plan is %s", p)
	}
}

func TestWhatAHandlerIntendedBeforeItPanickedIsNoOtherMessages(t *testing.T) {
	t.Parallel()
	var intends []intent.Effect
	message := dryRun(messaging.Service{Handlers: []messaging.Handler{
		{Name: "bad", Message: "OrderCreated", Handle: func(context.Context, messages.Message) error {
			intends = append(intends, intent.Effect{ID: "of the bad one"})
			panic("no such method")
		}},
		{Name: "good", Message: "OrderCreated", Handle: func(context.Context, messages.Message) error {
			intends = append(intends, intent.Effect{ID: "of the good one"})
			return nil
		}},
	}}, func() []intent.Effect {
		all := intends
		intends = nil
		return all
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		_, _ = message(t.Context(), "bad", &messages.OrderCreated{})
	}()
	if got, err := message(t.Context(), "good", &messages.OrderCreated{}); err != nil || len(got) != 1 || got[0].ID != "of the good one" {
		t.Errorf("it would do %+v, %v", got, err)
	}
}
