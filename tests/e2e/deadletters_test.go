package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deadLetter is a line of `millrace dlq list --json`.
type deadLetter struct {
	ID, State, Handler, OrderID, Type, Reason string
	Redrives, Parked                          int
}

// applied is what `millrace dlq apply --json` says.
type applied struct {
	OK                                       bool
	Verified, FailedAgain, Skipped, TimedOut int
	Items                                    []struct {
		ID, Outcome, Handler, Detail string
		Parked                       bool
	}
}

// dlq runs a verb beside the running stack and gives what it wrote to stdout.
func (s *stack) dlq(t *testing.T, code int, args ...string) string {
	t.Helper()
	args = append([]string{"dlq"}, args...)
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	c := spawn(t, t, s.env, args...)
	c.ends(t, time.Minute, code)
	return c.stdout.String()
}

func (s *stack) deadOf(t *testing.T, words ...string) []deadLetter {
	t.Helper()
	var list struct{ Items []deadLetter }
	if err := json.Unmarshal([]byte(s.dlq(t, 0, append([]string{"list", "--json"}, words...)...)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// planned writes a plan to a file, and gives its confirmation.
func (s *stack) planned(t *testing.T, words ...string) (file, sha string) {
	t.Helper()
	text := s.dlq(t, 0, append([]string{"plan"}, words...)...)
	var plan struct{ SHA256 string }
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, plan.SHA256
}

func (s *stack) apply(t *testing.T, code int, file, sha string, more ...string) applied {
	t.Helper()
	text := s.dlq(t, code, append([]string{"apply", file, "--confirm", sha, "--reason", "it was mended", "--actor", "e2e", "--json"}, more...)...)
	var a applied
	if code == 5 {
		return a
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// refunds is what a plan can give back, by currency.
func (s *stack) refunds(t *testing.T, file string) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Totals struct{ Refunds map[string]int64 }
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	return plan.Totals.Refunds
}

// deadLettersGoOn lets the sagas of one product's orders break, and sees one such order through: its
// messages become dead letters, what comes later is parked, other orders flow, and when the cause
// is mended a plan brings all of it to its end.
func deadLettersGoOn(t *testing.T, s *stack) {
	const sku = "SKU-099"
	mend := s.breakSagas(t, sku)
	id := s.place(t, wish{sku: sku})
	if o := s.awaitEnd(t, s.place(t, wish{sku: "SKU-001"}), soon); o.Status != "CONFIRMED" {
		t.Errorf("another order ended %s", o.Status)
	}
	of := "order=" + id
	await(t, soon, "three messages of the order are dead letters", func() bool { return len(s.deadOf(t, of)) == 3 })
	if a := s.cancel(t, id); a.status != http.StatusAccepted {
		t.Errorf("the cancel got %v", a)
	}
	await(t, soon, "the cancel is parked", func() bool { return len(s.deadOf(t, of, "state=parked")) == 1 })
	if o := s.awaitEnd(t, s.place(t, wish{sku: "SKU-001"}), soon); o.Status != "CONFIRMED" {
		t.Errorf("another order ended %s", o.Status)
	}

	file, sha := s.planned(t, of)
	s.apply(t, 5, file, strings.Repeat("0", 64))
	for _, l := range s.deadOf(t, of) {
		if l.Redrives != 0 {
			t.Errorf("without its confirmation the plan was applied: %+v", l)
		}
	}
	if a := s.apply(t, 2, file, sha); a.FailedAgain != 3 || a.Skipped != 1 || a.OK {
		t.Errorf("before it was mended, apply says %+v", a)
	}
	if a := s.apply(t, 2, file, sha); a.FailedAgain != 3 || a.Skipped != 1 {
		t.Errorf("applied again, the plan says %+v", a)
	}
	for _, l := range s.deadOf(t, of, "state=waiting") {
		if l.Redrives != 1 {
			t.Errorf("a plan that is not true any more was applied: %+v", l)
		}
	}

	mend()
	file, sha = s.planned(t, of)
	a := s.apply(t, 0, file, sha)
	parked := 0
	for _, i := range a.Items {
		if i.Parked {
			parked++
		}
	}
	if !a.OK || a.Verified != 4 || parked != 1 {
		t.Errorf("apply says %+v", a)
	}
	o := s.awaitEnd(t, id, soon)
	if o.Status != "CONFIRMED" && o.Status != "CANCELLED" {
		t.Errorf("the order ended %s %q: %s", o.Status, o.Reason, o.events())
	}
	s.paid(t, o, s.ledger(t))
	s.mailed(t, id)
	for _, state := range []string{"waiting", "parked", "redriving"} {
		if left := s.deadOf(t, of, "state="+state); len(left) != 0 {
			t.Errorf("%s are %+v", state, left)
		}
	}
}

// refundSettled lets the provider refuse a refund for good, and an operator say that it was paid back.
func refundSettled(t *testing.T, s *stack) {
	const sku = "SKU-098"
	db := s.sqlite(t, "payments")
	must(t, db, `CREATE TRIGGER too_much AFTER UPDATE OF state ON payments WHEN NEW.state = 'refunding' AND NEW.lines LIKE '%`+sku+`%'
		BEGIN UPDATE payments SET amount = amount + 1 WHERE order_id = NEW.order_id; END`)
	shelf := s.sqlite(t, "inventory")
	must(t, shelf, "UPDATE stock SET on_hand = 0 WHERE sku = '"+sku+"'")
	id := s.place(t, wish{sku: sku})
	of := "order=" + id
	await(t, soon, "the refund is a dead letter", func() bool {
		waiting := s.deadOf(t, of)
		return len(waiting) == 1 && waiting[0].Handler == "intent_refund" && waiting[0].Reason == "provider_refused"
	})
	if o := s.show(t, id); o.ended() {
		t.Errorf("with a refund that was refused the order ended %s", o.Status)
	}
	await(t, soon, "the metric says so", func() bool { return s.metric(t, paymentsPort, "dead_letters_waiting") == 1 })

	file, sha := s.planned(t, of)
	if got := s.refunds(t, file); got["LKR"] == 0 {
		t.Errorf("the plan can give back %v", got)
	}
	s.apply(t, 5, file, sha) // it would give money back
	if waiting := s.deadOf(t, of); len(waiting) != 1 || waiting[0].Redrives != 0 {
		t.Errorf("without a word for it something was done: %+v", waiting)
	}
	if a := s.apply(t, 2, file, sha, "--new-effects"); a.FailedAgain != 1 {
		t.Errorf("tried again it is %+v", a)
	}
	must(t, db, "DROP TRIGGER too_much")
	must(t, db, "UPDATE payments SET amount = amount - 1 WHERE order_id = '"+id+"'")
	file, sha = s.planned(t, of, "--settle", "refunded")
	if a := s.apply(t, 0, file, sha); a.Verified != 1 {
		t.Errorf("settled it is %+v", a)
	}
	if o := s.awaitEnd(t, id, soon); o.Status != "FAILED" || o.Reason != "out_of_stock" {
		t.Errorf("the order ended %s %q", o.Status, o.Reason)
	}
	s.mailed(t, id)
	must(t, shelf, "UPDATE stock SET on_hand = 1000000 WHERE sku = '"+sku+"'")
}

func TestDeadLettersGoOnInTheirSequence(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	t.Run("at one group", func(t *testing.T) { redrivenInOneGroup(t, s) })
	t.Run("messages", func(t *testing.T) { deadLettersGoOn(t, s) })
	s.settled(t)
	t.Run("a refund", func(t *testing.T) { refundSettled(t, s) })
	s.verified(t)
	t.Run("what is sent to services that are down is heard of when they are back", func(t *testing.T) { redriveWhileDown(t, s) })
	s.verified(t)
	s.terminate(t)
}

// redriveWhileDown applies a plan while nothing runs, and again when it does.
func redriveWhileDown(t *testing.T, s *stack) {
	mend := s.breakSagas(t, "SKU-097")
	id := s.place(t, wish{sku: "SKU-097"})
	of := "order=" + id
	await(t, soon, "three messages of the order are dead letters", func() bool { return len(s.deadOf(t, of)) == 3 })
	mend()
	s.kill()
	file, sha := s.planned(t, of)
	text := s.dlq(t, 2, "apply", file, "--confirm", sha, "--reason", "it was mended", "--actor", "e2e", "--json", "--timeout", "300ms")
	var a applied
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.TimedOut != 3 {
		t.Errorf("with nobody there apply says %s, %v", text, err)
	}
	s.start(t)
	if a := s.apply(t, 0, file, sha); a.Verified != 3 {
		t.Errorf("with everybody back apply says %+v", a)
	}
	if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
		t.Errorf("the order ended %s", o.Status)
	}
}

// sqlite opens a database of the embedded stack beside it.
func (s *stack) sqlite(t *testing.T, schema string) *sql.DB {
	t.Helper()
	if s.database != nil { // on a server, then
		return s.database(t, schema)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "db", schema+".db")+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func must(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// broken is the condition under which a saga cannot be stored.
func broken(sku string) string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = NEW.order_id AND i.sku = '%s')", sku)
}
