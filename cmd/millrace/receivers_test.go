package main

import (
	"slices"
	"testing"

	"millrace/adapters/sqlstore"
	"millrace/app/messages"
)

func TestEveryMessageHasItsReceivers(t *testing.T) {
	t.Parallel()
	all, err := receivers()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range messages.Catalogue {
		if len(all[spec.Name]) == 0 {
			t.Errorf("nobody receives %s", spec.Name)
		}
	}
	for _, moves := range []string{"OrderCreated", "RefundPayment"} { // a plan knows by payment's inbox whether money moves
		if !slices.ContainsFunc(all[moves], func(r sqlstore.Receiver) bool { return r.Service == messages.PaymentService }) {
			t.Errorf("payment does not receive %s", moves)
		}
	}
	want := []sqlstore.Receiver{{Service: "inventory-service", Consumer: "inventory-service.payment.events"}, {Service: "orchestrator", Consumer: "orchestrator.payment.events"}}
	if got := all["PaymentSucceeded"]; !slices.Equal(got, want) {
		t.Errorf("PaymentSucceeded is received by %v, want %v", got, want)
	}
}
