package e2e

import (
	"testing"
	"time"
)

// The broker is lost with an OrderCreated that the saga has had and payment has not. Sent again it has the id that it
// always had, and a card is charged because of it all the same: the plan says so, and nothing is done without the word.
func TestARedriveThatChargesSaysSoAndWantsTheWordForIt(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, patient...)
	release := hold(t, s.sqlite(t, "payments"), "UPDATE payments SET state = state WHERE order_id = 'none of these'")
	id := s.place(t, wish{})
	await(t, time.Minute, "the saga waits for payment, and its message is on Kafka", func() bool {
		return s.inState(t, "awaiting_payment") == 1 && s.unsent(t) == 0
	})
	s.loseBroker(t)
	release()
	s.start(t, patient...)
	if captures, _ := s.ledger(t).of(id); len(captures) != 0 {
		t.Fatalf("it was charged before anybody has acted: %v", captures)
	}
	s.operates(t, "redrive", id, expected{sends: "OrderCreated late", charges: 1200, detail: "it is "})
	s.endsAs(t, id, "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted")
	if captures, refunds := s.ledger(t).of(id); len(captures) != 1 || len(refunds) != 0 {
		t.Errorf("the provider has captures %v and refunds %v", captures, refunds)
	}
	s.verified(t)
}
