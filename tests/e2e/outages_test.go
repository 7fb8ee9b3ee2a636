package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// whileAway takes a part away, does something, and gives it back, whatever happens.
func whileAway(t *testing.T, p part, do func()) {
	t.Helper()
	p.away(t)
	back := false
	defer func() {
		if !back {
			p.back(t)
		}
	}()
	do()
	back = true
	p.back(t)
}

func redisAway(t *testing.T, s *stack, around parts) {
	user, key := newUser(), uuid.NewString()
	before, first, err := s.try(wish{user: user}, "Idempotency-Key", key)
	if err != nil || before == "" {
		t.Fatalf("%v, %v", first, err)
	}
	whileAway(t, around.redis, func() {
		id, again, err := s.try(wish{user: user}, "Idempotency-Key", key)
		if err != nil || id != before || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("the same again: %v, %v", again, err)
		}
		if _, a, err := s.try(wish{user: user, qty: 9}, "Idempotency-Key", key); err != nil || a.code() != "idempotency_key_reused" {
			t.Errorf("another body: %v, %v", a, err)
		}
		if o := s.awaitEnd(t, s.place(t, wish{user: user}), soon); o.Status != "CONFIRMED" {
			t.Errorf("a new order ended %s %q", o.Status, o.Reason)
		}
		if got := s.status(ordersPort, "/readyz"); got != http.StatusOK {
			t.Errorf("the order service is not ready without Redis: %d", got)
		}
	})
	all := s.orders(t, user)
	if len(all) != 2 {
		t.Errorf("the user has %d orders, want 2", len(all))
	}
	for _, o := range all {
		s.awaitEnd(t, o.OrderID, soon)
	}
}

func mailAway(t *testing.T, s *stack, around parts) {
	s.lettersAreSettled(t)
	var ids []string
	whileAway(t, around.mail, func() {
		for _, w := range []wish{{}, {method: "pm_card_declined"}, {sku: "SKU-NONE"}} {
			id := s.place(t, w)
			s.awaitEnd(t, id, soon)
			ids = append(ids, id)
		}
		await(t, soon, "a mail was tried", func() bool { return s.metric(t, notificationsPort, "intent_attempts_total") > 0 })
	})
	for _, id := range ids {
		s.mailed(t, id)
	}
}

// lettersAreSettled waits until the service knows of every letter so far that it was sent. One whose
// answer is still under way when the mail server goes is sent again.
func (s *stack) lettersAreSettled(t *testing.T) {
	t.Helper()
	ended := 0
	for _, o := range s.orders(t, "") {
		if o.ended() {
			ended++
		}
	}
	await(t, soon, "every letter is settled", func() bool {
		return s.metric(t, notificationsPort, `intent_attempts_total{kind="mail",outcome="done"}`) >= ended
	})
}

// openLetters are the orders whose letter has not been settled. Nobody may write meanwhile.
func openLetters(t *testing.T, db *sql.DB) map[string]bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT order_id FROM intents WHERE kind = 'mail' AND state = 'open'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	open := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		open[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d letters are under way", len(open))
	return open
}

func providerAway(t *testing.T, s *stack, around parts) {
	var ids []string
	whileAway(t, around.psp, func() {
		for range 8 { // enough to open the circuit
			ids = append(ids, s.place(t, wish{}))
		}
		await(t, soon, "a payment was tried", func() bool { return s.metric(t, paymentsPort, "intent_attempts_total") >= 8 })
		for _, id := range ids {
			if o := s.show(t, id); o.ended() {
				t.Errorf("%s ended %s without a provider", id, o.Status)
			}
		}
	})
	for _, id := range ids {
		if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
			t.Errorf("%s ended %s %q", id, o.Status, o.Reason)
		}
	}
}

func kafkaAway(t *testing.T, s *stack, around parts) {
	var ids []string
	whileAway(t, around.kafka, func() {
		for range 20 {
			ids = append(ids, s.place(t, wish{}))
		}
		for _, id := range ids {
			if o := s.show(t, id); o.Status != "PENDING" {
				t.Errorf("%s is %s without Kafka", id, o.Status)
			}
		}
		await(t, soon, "the orchestrator says that it misses Kafka", func() bool {
			a, err := s.askAt(orchestratorPort, "/readyz")
			return err == nil && a.status == http.StatusServiceUnavailable && bytes.Contains(a.body, []byte("kafka"))
		})
	})
	for _, id := range ids {
		if o := s.awaitEnd(t, id, time.Minute); o.Status != "CONFIRMED" {
			t.Errorf("%s ended %s %q", id, o.Status, o.Reason)
		}
	}
}

// postgresAway breaks the connections in the middle of orders. Whoever gets a 503 asks again with
// the same key, and has one order in the end.
func postgresAway(t *testing.T, s *stack, around parts) {
	user := newUser()
	underWay := s.place(t, wish{user: user, method: "pm_card_slow"})
	keys := make([]string, 10)
	for i := range keys {
		keys[i] = uuid.NewString()
	}
	whileAway(t, around.postgres, func() {
		for _, key := range keys {
			_, a, err := s.try(wish{user: user}, "Idempotency-Key", key)
			if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" ||
				!strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("placing an order: %v %v, %v", a, a.header, err)
			}
		}
		for _, path := range []string{"/api/v1/orders", "/api/v1/orders/" + underWay, "/api/v1/stock"} {
			a, err := s.ask(http.MethodGet, path, "")
			if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("GET %s: %v, %v", path, a, err)
			}
		}
		for port := ordersPort; port <= orchestratorPort; port++ {
			a, err := s.askAt(port, "/readyz")
			if err != nil || a.status != http.StatusServiceUnavailable || !bytes.Contains(a.body, []byte("database")) {
				t.Errorf("the service at N+%d says of itself: %v, %v", port, a, err)
			}
			if got := s.status(port, "/livez"); got != http.StatusOK {
				t.Errorf("the service at N+%d is not alive: %d", port, got)
			}
		}
	})
	for _, key := range keys {
		await(t, soon, "the order is accepted", func() bool {
			id, _, _ := s.try(wish{user: user}, "Idempotency-Key", key)
			return id != ""
		})
	}
	all := s.orders(t, user)
	if len(all) != len(keys)+1 {
		t.Errorf("there are %d orders, want %d", len(all), len(keys)+1)
	}
	for _, o := range all {
		if o = s.awaitEnd(t, o.OrderID, time.Minute); o.Status != "CONFIRMED" {
			t.Errorf("%s ended %s %q: %s", o.OrderID, o.Status, o.Reason, o.events())
		}
	}
}

// timeouts restarts the system with short time-outs, and holds things up beyond them.
func timeouts(t *testing.T, s *stack) {
	undone := func(id, status, reason, events string) {
		t.Helper()
		o := s.awaitEnd(t, id, soon)
		if o.Status != status || o.Reason != reason || o.events() != events {
			t.Errorf("it ended %s %q: %s\nwant %s %q: %s", o.Status, o.Reason, o.events(), status, reason, events)
		}
		if captures, refunds := s.ledger(t).of(id); len(captures) != 1 || len(refunds) != 1 {
			t.Errorf("captures %v and refunds %v, want one of each", captures, refunds)
		}
	}
	paid := func(o order) bool { return o.Status == "PAID" || o.ended() }

	t.Run("inventory is slow", func(t *testing.T) {
		release := s.holdInventory(t)
		id := s.place(t, wish{})
		s.awaitOrder(t, id, soon, "is paid", paid)
		release()
		if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
			t.Errorf("it ended %s %q", o.Status, o.Reason)
		}
	})
	t.Run("a paid order is cancelled", func(t *testing.T) {
		release := s.holdInventory(t)
		id := s.place(t, wish{})
		s.awaitOrder(t, id, soon, "is paid", paid)
		for range 2 {
			if a := s.cancel(t, id); a.status != http.StatusAccepted || !bytes.Contains(a.body, []byte(id)) {
				t.Errorf("cancel: %v", a)
			}
		}
		o := s.awaitOrder(t, id, soon, "is being undone", func(o order) bool { return len(o.AllowedActions) == 0 })
		if o.Status != "PAID" {
			t.Errorf("while it is undone it is %s", o.Status)
		}
		release()
		undone(id, "CANCELLED", "cancelled_by_user", "OrderCreated PaymentSucceeded OrderCancelRequested InventoryReleased PaymentRefunded OrderCompleted")
	})
	t.Run("inventory is too slow", func(t *testing.T) {
		s.restart(t, "INVENTORY_TIMEOUT=1s")
		release := s.holdInventory(t)
		id := s.place(t, wish{})
		o := s.awaitOrder(t, id, soon, "has timed out", func(o order) bool { return strings.Contains(o.events(), "InventoryTimedOut") || o.ended() })
		if o.Status != "PAID" || len(o.AllowedActions) != 0 {
			t.Errorf("while it is undone it is %s, and one may %v", o.Status, o.AllowedActions)
		}
		release()
		undone(id, "FAILED", "inventory_timeout", "OrderCreated PaymentSucceeded InventoryTimedOut InventoryReleased PaymentRefunded OrderCompleted")
	})
	t.Run("payment is too slow", func(t *testing.T) {
		s.restart(t, "PAYMENT_TIMEOUT=1s")
		id := s.place(t, wish{method: "pm_card_slow"})
		undone(id, "FAILED", "payment_timeout", "OrderCreated PaymentTimedOut InventoryReleased PaymentRefunded OrderCompleted")
	})
	t.Run("a timer outlives a crash", func(t *testing.T) {
		s.restart(t, "PAYMENT_TIMEOUT=3s")
		id := s.place(t, wish{method: "pm_card_late"})
		s.awaitOrder(t, id, soon, "is being processed", func(o order) bool { return o.Status == "PROCESSING" })
		s.kill()
		s.start(t)
		s.awaitOrder(t, id, soon, "has timed out", func(o order) bool { return strings.Contains(o.events(), "PaymentTimedOut") })
	})
}

// askAt sends a GET to one service.
func (s *stack) askAt(port int, path string) (answer, error) {
	res, err := s.http.Get(s.url(port, path))
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return answer{}, fmt.Errorf("GET %s: %w", path, err)
	}
	return answer{res.StatusCode, res.Header, body.Bytes()}, nil
}
