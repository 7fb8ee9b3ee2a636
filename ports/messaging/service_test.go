package messaging_test

import (
	"context"
	"strings"
	"testing"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

func nothing[M messages.Message](context.Context, *M) error { return nil }

func TestEachTopicOfAServiceHasAGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	groups, err := messaging.Service{Name: "payment-service", Handlers: []messaging.Handler{
		messaging.On("refund_payment", nothing[messages.RefundPayment]),
		messaging.On("cancel", nothing[messages.OrderCancelRequested]),
		messaging.On("take_payment", nothing[messages.OrderCreated]),
	}}.Groups()
	if err != nil || len(groups) != 2 {
		t.Fatalf("%v %v", groups, err)
	}
	if g := groups[0]; g.Name != "payment-service.order.events" || g.Topic != "order.events" || g.Kind != messages.Event || len(g.Handlers) != 2 {
		t.Errorf("the first group is %+v", g)
	}
	if g := groups[1]; g.Name != "payment-service.payment.commands" || g.Topic != "payment.commands" || g.Kind != messages.Command || len(g.Handlers) != 1 {
		t.Errorf("the second group is %+v", g)
	}
}

func TestAServiceThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	take := messaging.On("take_payment", nothing[messages.OrderCreated])
	for want, service := range map[string]messaging.Service{
		"two handlers":           {Name: "s", Handlers: []messaging.Handler{take, messaging.On("again", nothing[messages.OrderCreated])}},
		"not in the catalogue":   {Name: "s", Handlers: []messaging.Handler{{Name: "h", Message: "OrderEaten", Handle: take.Handle}}},
		"no name or no function": {Name: "s", Handlers: []messaging.Handler{{Message: "OrderCreated", Handle: take.Handle}}},
		"needs a name":           {Handlers: []messaging.Handler{take}},
		"and a handler":          {Name: "s"},
	} {
		if _, err := service.Groups(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTheTableOfHandlersIsSortedAndWhole(t *testing.T) {
	t.Parallel()
	got := messaging.Describe(
		messaging.Service{Name: "payment-service", Handlers: []messaging.Handler{
			messaging.On("take_payment", nothing[messages.OrderCreated]),
			messaging.On("refund_payment", nothing[messages.RefundPayment]),
		}},
		messaging.Service{Name: "inventory-service", Handlers: []messaging.Handler{messaging.On("reserve_stock", nothing[messages.PaymentSucceeded])}},
		messaging.Service{Name: "odd"},
	)
	want := `service            handler          message           topic                      consumer group
inventory-service  (the one named)  (any)             inventory-service.redrive  inventory-service.inventory-service.redrive
inventory-service  reserve_stock    PaymentSucceeded  payment.events             inventory-service.payment.events
payment-service    (the one named)  (any)             payment-service.redrive    payment-service.payment-service.redrive
payment-service    refund_payment   RefundPayment     payment.commands           payment-service.payment.commands
payment-service    take_payment     OrderCreated      order.events               payment-service.order.events
"odd": a service needs a name and a handler
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
