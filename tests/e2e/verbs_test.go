package e2e

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sagaPlan is what an operator reads before an act.
type sagaPlan struct {
	SHA256 string
	Totals struct {
		Orders, Deduplicated, New, Mails int
		Captures, Money                  map[string]int64
	}
	Items []struct {
		OrderID, State, To, Found string
		From                      int
		Sends                     []struct{ Type, Topic, Effect string }
		Timeouts                  []struct{ Name, After string }
	}
	Refused []struct{ OrderID, State, Why string }

	action, file string
}

// plansAct plans an act on one order. Nothing is done.
func (s *stack) plansAct(t *testing.T, action, orderID string, flags ...string) sagaPlan {
	t.Helper()
	p := sagaPlan{action: action, file: filepath.Join(t.TempDir(), "plan.json")}
	text := s.saga(t, 0, append([]string{"plan", action, "--query", "order=" + orderID}, flags...)...)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// refusesAct plans an act that the saga must not be told.
func (s *stack) refusesAct(t *testing.T, why, action, orderID string, flags ...string) {
	t.Helper()
	p := s.plansAct(t, action, orderID, flags...)
	if len(p.Items) != 0 || len(p.Refused) != 1 || p.Refused[0].OrderID != orderID || !strings.Contains(p.Refused[0].Why, why) {
		t.Errorf("%s of %s: the plan has %+v and refuses %+v, want it refused because %q", action, orderID, p.Items, p.Refused, why)
	}
}

// expected is what an act on one order must come to.
type expected struct {
	sends     string // names of the messages of the plan, each with its effect
	mails     int
	charges   int64
	givesBack int64
	found     string
	sets      string // time-outs, by name and length
	detail    string // of the report
}

// did is what the audit keeps of it.
func (e expected) did() string {
	did := "sends nothing"
	if e.sends != "" {
		did = "sends " + strings.NewReplacer(" new", "", " deduplicated", " again", " late", " again").Replace(e.sends)
	}
	if e.sets != "" {
		did += ", sets the " + e.sets
	}
	return did
}

// operates plans an act on one order, reads the plan, has it applied, and once more, as whoever does not know
// whether the first run got through. The audit has it once.
func (s *stack) operates(t *testing.T, action, orderID string, want expected, flags ...string) {
	t.Helper()
	p := s.plansAct(t, action, orderID, flags...)
	if len(p.Items) != 1 || p.Items[0].OrderID != orderID || len(p.Refused) != 0 {
		t.Fatalf("%s of %s: the plan has %+v and refuses %+v", action, orderID, p.Items, p.Refused)
	}
	var sends, sets []string
	for _, o := range p.Items[0].Timeouts {
		sets = append(sets, o.Name+" time-out to "+o.After)
	}
	for _, m := range p.Items[0].Sends {
		sends = append(sends, m.Type+" "+m.Effect)
	}
	slices.Sort(sends)
	if got := strings.Join(sends, ", "); got != want.sends || p.Items[0].Found != want.found || strings.Join(sets, ", ") != want.sets || p.Totals.Mails != want.mails ||
		p.Totals.Captures["LKR"] != want.charges || p.Totals.Money["LKR"] != want.givesBack {
		t.Errorf("%s: the plan sends %q, sets %q, found %q, and comes to %+v, want %+v", action, got, sets, p.Items[0].Found, p.Totals, want)
	}

	const reason = "nobody will answer"
	apply := []string{"apply", p.file, "--confirm", p.SHA256, "--reason", reason, "--actor", "maya", "--timeout", "2m"}
	if p.Totals.New > 0 || want.mails > 0 || want.charges > 0 || want.givesBack > 0 {
		before := s.show(t, orderID)
		s.saga(t, 5, apply...)
		if after := s.show(t, orderID); after.Version != before.Version {
			t.Errorf("%s: refused, and the order went from version %d to %d", action, before.Version, after.Version)
		}
		apply = append(apply, "--new-effects")
	}
	for range 2 {
		var sum applied
		if err := json.Unmarshal([]byte(s.saga(t, 0, append(apply, "--json")...)), &sum); err != nil {
			t.Fatal(err)
		}
		if sum.Verified != 1 || len(sum.Items) != 1 || !strings.Contains(sum.Items[0].Detail, want.detail) {
			t.Errorf("%s: the report says %+v, want it verified: %s", action, sum, want.detail)
		}
	}
	var audit struct {
		Total int
		Items []struct{ Act, Target, Actor, Reason, Did, Outcome string }
	}
	if err := json.Unmarshal([]byte(s.saga(t, 0, "audit", "plan="+p.SHA256, "--json")), &audit); err != nil {
		t.Fatal(err)
	}
	if audit.Total != 1 {
		t.Fatalf("%s: the audit has %d acts of the plan", action, audit.Total)
	}
	if a := audit.Items[0]; a.Act != "saga "+action || a.Target != orderID || a.Actor != "maya" || a.Reason != reason || a.Outcome != "VERIFIED" || a.Did != want.did() {
		t.Errorf("%s: the audit says %+v", action, a)
	}
}

// endsAs waits for an order's end, which must be as wanted.
func (s *stack) endsAs(t *testing.T, id, status, reason, events string) {
	t.Helper()
	if o := s.awaitEnd(t, id, time.Minute); o.Status != status || o.Reason != reason || o.events() != events {
		t.Errorf("%s ended %s %q: %s\nwant %s %q: %s", id, o.Status, o.Reason, o.events(), status, reason, events)
	}
}

// loseBroker kills the system and takes the disk of its broker away.
func (s *stack) loseBroker(t *testing.T) {
	t.Helper()
	s.kill()
	if err := os.RemoveAll(filepath.Join(s.data, "kafka")); err != nil {
		t.Fatal(err)
	}
}

// counted is the number that a query gives.
func counted(t *testing.T, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// unasked leaves orders that are paid and of which inventory has never heard: the broker was lost with its
// messages. The first saga is one of version 1.
func (s *stack) unasked(t *testing.T, n int) []string {
	t.Helper()
	db := s.sqlite(t, "orders")
	release := s.holdInventory(t)
	all := []string{s.place(t, wish{method: "pm_card_slow"})}
	s.awaitOrder(t, all[0], soon, "waits for its payment", func(o order) bool { return o.Status == "PROCESSING" })
	must(t, db, "UPDATE sagas SET definition = 1 WHERE order_id = '"+all[0]+"'")
	for len(all) < n {
		all = append(all, s.place(t, wish{}))
	}
	await(t, time.Minute, "all are paid, and their messages are on Kafka", func() bool {
		return s.inState(t, "awaiting_inventory") == n && s.unsent(t) == 0
	})
	s.loseBroker(t)
	release()
	s.start(t, patient...)
	return all
}

// unheard leaves a cancelled order of which inventory has put the goods back, and a paid one for which it has
// set some aside. The orchestrator has heard of neither: its database was locked, and then the broker was lost.
func (s *stack) unheard(t *testing.T) (undone, sold string) {
	t.Helper()
	release := s.holdInventory(t)
	undone, sold = s.place(t, wish{}), s.place(t, wish{})
	for _, id := range []string{undone, sold} {
		s.awaitOrder(t, id, soon, "is paid", func(o order) bool { return o.Status == "PAID" })
	}
	if a := s.cancel(t, undone); a.status != http.StatusAccepted {
		t.Fatalf("the cancel got %v", a)
	}
	s.awaitOrder(t, undone, soon, "is being undone", func(o order) bool { return len(o.AllowedActions) == 0 })
	await(t, time.Minute, "the commands are on Kafka", func() bool { return s.unsent(t) == 0 })

	listen := hold(t, s.sqlite(t, "orders"), "UPDATE sagas SET version = version WHERE order_id = 'none of these'")
	release()
	shelf := s.sqlite(t, "inventory")
	await(t, time.Minute, "inventory has answered", func() bool {
		return counted(t, shelf, "SELECT count(*) FROM reservations WHERE order_id = ? AND state IN ('released', 'barred') OR order_id = ? AND state = 'held'", undone, sold) == 2 &&
			counted(t, shelf, "SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
	})
	s.loseBroker(t)
	listen()
	s.start(t, patient...)
	return undone, sold
}

// The broker has lost its disk twice: once with what inventory was to be asked, once with what it had answered.
// Five orders stand still, no time-out is near, and each is put right by another act. When all that was lost
// comes after all, nothing is moved by it.
func TestAnOperatorPutsRightWhatNobodyWillAnswer(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, patient...)
	unasked := s.unasked(t, 3)
	older, silent, called := unasked[0], unasked[1], unasked[2]
	undone, sold := s.unheard(t)
	if still := []int{s.inState(t, "awaiting_inventory"), s.inState(t, "undoing_inventory")}; !slices.Equal(still, []int{4, 1}) {
		t.Fatalf("%d wait for inventory and %d are being undone", still[0], still[1])
	}
	const cancelled = "OrderCreated PaymentSucceeded OrderCancelRequested InventoryReleased PaymentRefunded OrderCompleted"

	t.Log("retry-step: the command was followed and its answer lost, so it is given again and answered again")
	s.refusesAct(t, "nothing was commanded in awaiting_inventory", "retry-step", sold)
	s.operates(t, "retry-step", undone, expected{sends: "ReleaseInventory new", detail: "it is "})
	s.endsAs(t, undone, "CANCELLED", "cancelled_by_user", cancelled)

	t.Log("skip-step: inventory's books have the pieces, and nobody's word but theirs counts")
	s.refusesAct(t, "the books of the participant do not say that awaiting_inventory is over", "skip-step", silent)
	s.operates(t, "skip-step", sold, expected{sends: "OrderCompleted new", mails: 1, found: "InventoryReserved", detail: "it is confirmed"})
	s.endsAs(t, sold, "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted")
	s.mailed(t, sold)

	t.Log("resume, and fire-timer: the saga's version waits once more, and then undoes the order")
	s.operates(t, "resume", silent, expected{sets: "inventory time-out to 10m0s", detail: "it is awaiting_inventory"})
	s.operates(t, "fire-timer", silent, expected{sets: "inventory time-out to 10m0s", detail: "it is awaiting_inventory"})
	if o := s.show(t, silent); o.Status != "PAID" || !slices.Equal(o.AllowedActions, []string{"cancel"}) {
		t.Errorf("after the first time-out it is %s and allows %v", o.Status, o.AllowedActions)
	}
	s.operates(t, "fire-timer", silent, expected{sends: "ReleaseInventory new", mails: 1, givesBack: 1200, detail: "it is failed"})
	s.endsAs(t, silent, "FAILED", "inventory_timeout", "OrderCreated PaymentSucceeded InventoryTimedOut InventoryReleased PaymentRefunded OrderCompleted")

	t.Log("migrate: version 1 would undo the order at the first time-out, and version 2 does not")
	s.saga(t, 4, "plan", "migrate", "--to", "99", "--query", "order="+older)
	s.refusesAct(t, "it has version 1 already", "migrate", older, "--to", "1")
	s.operates(t, "migrate", older, expected{detail: "it is awaiting_inventory"}, "--to", "2")
	var list struct{ Total int }
	if err := json.Unmarshal([]byte(s.saga(t, 0, "list", "version=1", "--json")), &list); err != nil || list.Total != 0 {
		t.Errorf("%d sagas have version 1, %v", list.Total, err)
	}
	s.operates(t, "fire-timer", older, expected{sets: "inventory time-out to 10m0s", detail: "it is awaiting_inventory"})
	s.operates(t, "redrive", older, expected{sends: "PaymentSucceeded late", detail: "it is confirmed"})
	s.endsAs(t, older, "CONFIRMED", "", "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted")

	t.Log("compensate: the customer has called")
	s.operates(t, "compensate", called, expected{sends: "ReleaseInventory new", mails: 1, givesBack: 1200, detail: "it is cancelled"})
	s.endsAs(t, called, "CANCELLED", "cancelled_by_user", cancelled)

	before := map[string]order{}
	for _, o := range s.orders(t, "") {
		before[o.OrderID] = s.show(t, o.OrderID)
	}
	var again struct{ Rows int }
	s.outbox(t, &again, "replay", "--all")
	if again.Rows < 4*len(before) {
		t.Errorf("%d messages of %d orders come after all", again.Rows, len(before))
	}
	await(t, time.Minute, "all is sent", func() bool { return s.unsent(t) == 0 })
	s.settled(t)
	for id, o := range before {
		if now := s.show(t, id); now.Version != o.Version || now.events() != o.events() {
			t.Errorf("%s was moved by what came after its end: %s, and then %s", id, o.events(), now.events())
		}
	}
	if folder := os.Getenv("CORPUS"); folder != "" {
		s.leaveHistories(t, filepath.Join(folder, "operator-embedded.ndjson"))
	}
	s.terminate(t)
}

// leaveHistories writes a bundle of all that reached the sagas, without user ids and payment data: `millrace saga
// corpus add --pick` takes from it what the corpus does not show yet.
func (s *stack) leaveHistories(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s.saga(t, 0, "export", "--query", "", "--redact")), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("the histories of the sagas are in %s", path)
}
