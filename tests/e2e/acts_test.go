package e2e

import (
	"database/sql"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// saga runs a verb of `millrace saga` beside the running stack and gives what it wrote to stdout.
func (s *stack) saga(t *testing.T, code int, args ...string) string {
	t.Helper()
	c := s.sagaVerb(t, args...)
	c.ends(t, 5*time.Minute, code)
	return c.stdout.String()
}

func (s *stack) sagaVerb(t *testing.T, args ...string) *child {
	t.Helper()
	args = append([]string{"saga"}, args...)
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	return spawn(t, t, append([]string{"INVENTORY_TIMEOUT=10m", "PAYMENT_TIMEOUT=10m"}, s.env...), args...)
}

// inState counts the sagas in a state.
func (s *stack) inState(t *testing.T, state string) int {
	t.Helper()
	var list struct{ Total int }
	if err := json.Unmarshal([]byte(s.saga(t, 0, "list", "state="+state, "--limit", "1", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Total
}

// inboxes are all rows of the inboxes of every service: by consumer group and message, what became of it and when.
type inboxes map[string]map[string]string

func (s *stack) inboxes(t *testing.T) inboxes {
	t.Helper()
	all := inboxes{}
	for _, schema := range []string{"orders", "payments", "inventory", "notifications"} {
		all.read(t, s.sqlite(t, schema))
	}
	return all
}

// read adds the inbox of a service, and closes its database: inboxes are asked for often.
func (now inboxes) read(t *testing.T, db *sql.DB) {
	t.Helper()
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT consumer, message_id, outcome || ' ' || CAST(handled_at AS TEXT) FROM inbox")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var group, id, row string
		if err := rows.Scan(&group, &id, &row); err != nil {
			t.Fatal(err)
		}
		if now[group] == nil {
			now[group] = map[string]string{}
		}
		now[group][id] = row
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// grown says by how many rows each group has more than before, where it has. What was there must be as it was.
func (now inboxes) grown(t *testing.T, before inboxes) map[string]int {
	t.Helper()
	more := map[string]int{}
	for group, rows := range now {
		if n := len(rows) - len(before[group]); n != 0 {
			more[group] = n
		}
	}
	for group, rows := range before {
		for id, row := range rows {
			if now[group][id] != row {
				t.Errorf("%s of %s was %q and is %q", id, group, row, now[group][id])
			}
		}
	}
	return more
}

// Inventory's database is away, and the broker loses its disk with the messages that wait there. A thousand
// orders stand in PAID when both are back. The operator plans, applies, is killed, and applies again.
func TestAThousandStuckOrdersArePutRightWithAKillInTheMiddle(t *testing.T) {
	skipShort(t)
	t.Parallel()
	thousandStuck(t, newEmbedded(t))
}

func thousandStuck(t *testing.T, s *stack) {
	t.Helper()
	const orders = 1000
	s.start(t, patient...)
	release := s.holdInventory(t)
	var placing sync.WaitGroup
	for range 10 {
		placing.Go(func() {
			for range orders / 10 {
				if id, a, err := s.try(wish{}); err != nil || id == "" {
					t.Errorf("place: %v, %v", a, err)
					return
				}
			}
		})
	}
	placing.Wait()
	await(t, 3*time.Minute, "all are paid, and their messages are on Kafka", func() bool {
		return s.inState(t, "awaiting_inventory") == orders && s.unsent(t) == 0
	})
	s.kill()
	if err := os.RemoveAll(s.disk); err != nil {
		t.Fatal(err)
	}
	release()
	s.start(t, patient...)

	var plan struct {
		SHA256 string
		Totals struct{ Orders, Deduplicated, Late, New, Mails int }
		Items  []struct{ OrderID string }
	}
	text := s.saga(t, 0, "plan", "redrive", "--query", "state=awaiting_inventory")
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Totals.Orders != orders || plan.Totals.Late != orders || plan.Totals.Deduplicated != 0 || plan.Totals.New != 0 || plan.Totals.Mails != 0 {
		t.Fatalf("the plan comes to %+v", plan.Totals)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	moved := plan.Items[len(plan.Items)-1].OrderID // the last to be begun
	if a := s.cancel(t, moved); a.status != http.StatusAccepted {
		t.Fatalf("the cancel got %v", a)
	}
	s.awaitEnd(t, moved, time.Minute)
	s.mailed(t, moved)
	await(t, time.Minute, "what ended it is known to all", func() bool {
		return len(s.inboxes(t)["order-service.order.events"]) == 1 && s.unsent(t) == 0
	})
	before := s.inboxes(t)
	if known := len(before["orchestrator.payment.events"]); known != orders+1 {
		t.Fatalf("the orchestrator knows %d messages of payment, not a payment of each order and a refund", known)
	}

	apply := []string{"apply", file, "--confirm", plan.SHA256, "--reason", "the broker lost its disk", "--actor", "e2e", "--timeout", "4m"}
	s.saga(t, 5, append(apply, "--confirm", strings.Repeat("0", 64))...)
	first := s.sagaVerb(t, append(apply, "--canary", "5", "--rate", "200/s")...)
	await(t, 2*time.Minute, "some have been verified", func() bool { return strings.Count(first.stdout.String(), "VERIFIED") > 20 || !first.alive() })
	first.kill()
	if told := strings.Count(first.stdout.String(), "\n"); told >= orders {
		t.Errorf("all %d were told of before the kill", told)
	}
	var sum applied
	if err := json.Unmarshal([]byte(s.saga(t, 2, append(apply, "--json")...)), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Verified != orders-1 || sum.Skipped != 1 || sum.FailedAgain != 0 || sum.TimedOut != 0 {
		t.Errorf("the second run comes to %d verified, %d failed again, %d skipped, %d timed out", sum.Verified, sum.FailedAgain, sum.Skipped, sum.TimedOut)
	}
	for _, i := range sum.Items {
		if skipped := i.Outcome == "SKIPPED"; skipped && !strings.Contains(i.Detail, "it has changed since the plan was made") {
			t.Errorf("%s was skipped because %s", i.ID, i.Detail)
		}
	}

	var audit struct {
		Total int
		Items []struct{ Actor, Reason, Outcome, Target string }
	}
	if err := json.Unmarshal([]byte(s.saga(t, 0, "audit", "plan="+plan.SHA256, "--limit", "0", "--json")), &audit); err != nil {
		t.Fatal(err)
	}
	if audit.Total != orders-1 {
		t.Errorf("the audit has %d acts, not one for each saga that was acted on", audit.Total)
	}
	for _, a := range audit.Items {
		if a.Actor != "e2e" || a.Reason != "the broker lost its disk" || a.Outcome != "VERIFIED" || a.Target == moved {
			t.Errorf("the audit says %+v", a)
		}
	}
	if n := s.inState(t, "confirmed"); n != orders-1 {
		t.Errorf("%d orders are confirmed", n)
	}
	await(t, 2*time.Minute, "the orchestrator has seen everything that inventory was sent again", func() bool {
		return s.metric(t, orchestratorPort, `messages_duplicate_total{handler="saga_payment_succeeded"}`) >= orders-1
	})
	// Every order that went on has one message more in each group on its way, and no other group has moved.
	onward := map[string]int{
		"inventory-service.payment.events": orders - 1, "orchestrator.inventory.events": orders - 1,
		"order-service.order.events": orders - 1, "notification-service.order.events": orders - 1,
	}
	await(t, 2*time.Minute, "the ends are known to all", func() bool {
		now := s.inboxes(t)
		for _, group := range []string{"order-service.order.events", "notification-service.order.events"} {
			if len(now[group])-len(before[group]) < onward[group] {
				return false
			}
		}
		return true
	})
	if more := s.inboxes(t).grown(t, before); !maps.Equal(more, onward) {
		t.Errorf("the inboxes have grown by %v, want %v", more, onward)
	}
	money := s.ledger(t)
	if len(money.Captures) != orders || len(money.Refunds) != 1 {
		t.Errorf("the provider has %d captures and %d refunds", len(money.Captures), len(money.Refunds))
	}
	await(t, 2*time.Minute, "all is sent", func() bool { return s.unsent(t) == 0 })
	s.verified(t)
	s.replayed(t)
	s.terminate(t)
}

// operatorUndoes compensates an order whose provider answers late: its money comes and goes back, and its
// customer gets one mail.
func operatorUndoes(t *testing.T, s *stack) {
	skipShort(t)
	const user = "usr_operated"
	id := s.place(t, wish{user: user, method: "pm_card_late"})
	await(t, soon, "it waits for its payment", func() bool { return s.show(t, id).Status == "PROCESSING" })
	text := s.saga(t, 0, "plan", "compensate", "--query", "user="+user)
	var plan struct {
		SHA256 string
		Totals struct {
			Orders, New, Mails int
			Money              map[string]int64
		}
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatal(err)
	}
	if sum := plan.Totals; sum.Orders != 1 || sum.New != 1 || sum.Mails != 1 || sum.Money["LKR"] != 1200 {
		t.Errorf("the plan comes to %+v", sum)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apply := []string{"apply", file, "--confirm", plan.SHA256, "--reason", "the customer has called", "--actor", "e2e", "--timeout", "2m"}
	s.saga(t, 5, apply...)
	if out := s.saga(t, 0, append(apply, "--new-effects")...); !strings.Contains(out, "VERIFIED") || !strings.Contains(out, "it is cancelled") {
		t.Errorf("apply says %s", out)
	}
	if o := s.show(t, id); o.Status != "CANCELLED" || o.Reason != "cancelled_by_user" {
		t.Errorf("it is %s, %s", o.Status, o.Reason)
	}
	if captures, refunds := s.ledger(t).of(id); len(captures) != 1 || len(refunds) != 1 {
		t.Errorf("the provider has captures %v and refunds %v", captures, refunds)
	}
	if letter := s.mailed(t, id); letter.OrderID != id {
		t.Errorf("the mail is %+v", letter)
	}
}
