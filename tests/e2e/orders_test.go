package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is how long an order may take that nothing holds up, on a machine that is busy.
const soon = 30 * time.Second

func happyPath(t *testing.T, s *stack) {
	id := s.place(t, wish{user: "usr_happy", qty: 2})
	o := s.awaitEnd(t, id, soon)
	if o.Status != "CONFIRMED" || o.Total != 2400 || o.Currency != "LKR" || o.UserID != "usr_happy" || o.Reason != "" || len(o.AllowedActions) != 0 {
		t.Errorf("got %+v", o)
	}
	if got, want := o.events(), "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted"; got != want {
		t.Errorf("the timeline is %s, want %s", got, want)
	}
	for i, want := range []string{"PENDING", "PAID", "PAID", "CONFIRMED"} {
		if i < len(o.Timeline) && (o.Timeline[i].Status != want || o.Timeline[i].Seq != i+1) {
			t.Errorf("entry %d is %+v, want status %s", i+1, o.Timeline[i], want)
		}
	}
	mail := s.mailed(t, id)
	if mail.To != "usr_happy@example.com" || mail.OrderID != id {
		t.Errorf("the mail is %+v", mail)
	}
	listed := s.orders(t, "usr_happy")
	if len(listed) != 1 || listed[0].OrderID != id {
		t.Errorf("the list of the user's orders has %+v", listed)
	}
	a, err := s.ask(http.MethodGet, "/api/v1/orders/"+id, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.ask(http.MethodGet, "/api/v1/orders/"+id, "", "If-None-Match", a.header.Get("ETag")); err != nil || again.status != http.StatusNotModified {
		t.Errorf("an order that has not changed answers %v, %v", again, err)
	}
	if a := s.cancel(t, id); a.status != http.StatusConflict || a.code() != "order_settled" {
		t.Errorf("cancelling a confirmed order: %v", a)
	}
}

func paymentFates(t *testing.T, s *stack) {
	for _, fate := range []struct{ method, status, reason, events string }{
		{"pm_card_ok", "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted"},
		{"pm_card_declined", "FAILED", "payment_declined", "OrderCreated PaymentFailed OrderCompleted"},
		{"pm_card_timeout", "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted"},
		{"pm_card_unavailable", "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted"},
		{"pm_card_slow", "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted"},
	} {
		t.Run(fate.method, func(t *testing.T) {
			t.Parallel()
			o := s.awaitEnd(t, s.place(t, wish{method: fate.method}), soon)
			if o.Status != fate.status || o.Reason != fate.reason || o.events() != fate.events {
				t.Errorf("it ended %s %q: %s", o.Status, o.Reason, o.events())
			}
			s.paid(t, o, s.ledger(t))
			s.mailed(t, o.OrderID)
		})
	}
}

func latePayment(t *testing.T, s *stack, id string) {
	o := s.awaitEnd(t, id, 90*time.Second)
	want := "OrderCreated PaymentTimedOut InventoryReleased PaymentRefunded OrderCompleted"
	if o.Status != "FAILED" || o.Reason != "payment_timeout" || o.events() != want {
		t.Errorf("it ended %s %q: %s", o.Status, o.Reason, o.events())
	}
	if captures, refunds := s.ledger(t).of(o.OrderID); len(captures) != 1 || len(refunds) != 1 {
		t.Errorf("captures %v and refunds %v, want one of each", captures, refunds)
	}
}

func soldOut(t *testing.T, s *stack) {
	o := s.awaitEnd(t, s.place(t, wish{sku: "SKU-NONE"}), soon)
	want := "OrderCreated PaymentSucceeded InventoryFailed PaymentRefunded OrderCompleted"
	if o.Status != "FAILED" || o.Reason != "out_of_stock" || o.events() != want {
		t.Errorf("it ended %s %q: %s", o.Status, o.Reason, o.events())
	}
	if captures, refunds := s.ledger(t).of(o.OrderID); len(captures) != 1 || len(refunds) != 1 {
		t.Errorf("captures %v and refunds %v, want one of each", captures, refunds)
	}
}

func lastPieces(t *testing.T, s *stack) {
	var all sync.WaitGroup
	ids := make([]string, 7)
	for i := range ids {
		all.Go(func() { ids[i], _, _ = s.try(wish{sku: "SKU-LOW"}) })
	}
	all.Wait()
	ends := map[string]int{}
	for _, id := range ids {
		if id == "" {
			t.Fatal("an order was not accepted")
		}
		o := s.awaitEnd(t, id, soon)
		ends[o.Status+" "+o.Reason]++
	}
	if ends["CONFIRMED "] != 3 || ends["FAILED out_of_stock"] != 4 {
		t.Errorf("of three pieces and seven orders came %v", ends)
	}
}

func cancelling(t *testing.T, s *stack) {
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		for range 12 { // whichever comes first: the cancel or the confirmation
			id := s.place(t, wish{})
			a := s.cancel(t, id)
			o := s.awaitEnd(t, id, soon)
			switch {
			case a.status == http.StatusConflict && a.code() == "order_settled" && o.Status == "CONFIRMED":
			case a.status == http.StatusAccepted && (o.Status == "CONFIRMED" || o.Status == "CANCELLED" && o.Reason == "cancelled_by_user"):
			default:
				t.Errorf("the cancel got %v, and the order ended %s %q: %s", a, o.Status, o.Reason, o.events())
			}
			s.paid(t, o, s.ledger(t))
		}
	})
	for _, method := range []string{"pm_card_slow", "pm_card_timeout", "pm_card_unavailable"} {
		t.Run("while "+method+" is awaited", func(t *testing.T) {
			t.Parallel()
			var o order
			for try := 1; try == 1 || strings.Contains(o.events(), "PaymentSucceeded") && try <= 4; try++ { // on a slow machine the payment may be first
				id := s.place(t, wish{method: method})
				s.awaitOrder(t, id, soon, "is being processed", func(o order) bool { return o.Status == "PROCESSING" || o.ended() })
				for range 2 {
					if a := s.cancel(t, id); a.status != http.StatusAccepted && a.code() != "order_settled" {
						t.Errorf("cancel: %v", a)
					}
				}
				o = s.awaitEnd(t, id, soon)
			}
			if o.Status != "CANCELLED" || o.Reason != "cancelled_by_user" {
				t.Errorf("it ended %s %q: %s", o.Status, o.Reason, o.events())
			}
			want := "OrderCreated OrderCancelRequested InventoryReleased PaymentRefunded OrderCompleted"
			if got := strings.Replace(o.events(), " PaymentSucceeded", "", 1); got != want {
				t.Errorf("the timeline is %s, want %s", o.events(), want)
			}
			s.paid(t, o, s.ledger(t))
			if a := s.cancel(t, o.OrderID); a.status != http.StatusConflict || a.code() != "order_settled" {
				t.Errorf("cancelling a cancelled order: %v", a)
			}
		})
	}
	t.Run("of a failed order", func(t *testing.T) {
		t.Parallel()
		id := s.place(t, wish{method: "pm_card_declined"})
		s.awaitEnd(t, id, soon)
		if a := s.cancel(t, id); a.status != http.StatusConflict || a.code() != "order_settled" {
			t.Errorf("got %v", a)
		}
	})
	t.Run("of an order that is not there", func(t *testing.T) {
		t.Parallel()
		if a := s.cancel(t, "ord_0000000000"); a.status != http.StatusNotFound {
			t.Errorf("got %v", a)
		}
	})
}

func health(t *testing.T, s *stack) {
	for port := gatewayPort; port <= orchestratorPort; port++ {
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
			if got := s.status(port, path); got != http.StatusOK {
				t.Errorf("%s of the service at N+%d answers %d", path, port, got)
			}
		}
	}
}
