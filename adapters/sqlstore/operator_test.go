package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// floor is ordering with its participants' databases, and an operator's desk. Nothing happens there but
// what a test does.
type floor struct {
	cores   map[string]*Core
	db      *sqldb.DB // ordering's
	carry   *engine.Engine
	store   *Operator
	desk    *operator.Desk
	audits  *Letters
	paused  func() // between two looks of the desk
	passed  time.Duration
	cut     int // acts until the operator's process dies; below 0 for never
	orderID string
}

var errKilled = fmt.Errorf("the process was killed: %w", context.Canceled)

// Operate lets the operator die behind an act that was committed.
func (f *floor) Operate(ctx context.Context, o engine.Command) error {
	acts := engine.NewOperator(f.store, "test", time.Now)
	err := acts.Operate(ctx, o)
	if f.cut--; f.cut == 0 {
		return errors.Join(err, errKilled)
	}
	return err
}

func eachFloor(t *testing.T, test func(t *testing.T, f *floor)) {
	t.Helper()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		f := &floor{db: open(t), cut: -1, paused: func() {}}
		beside := func(schema string) *Core {
			if f.db.Dialect == sqldb.SQLite {
				return newCore(adaptertest.SQLite(t, schema))
			}
			return newCore(adaptertest.Postgres(t, os.Getenv("TEST_POSTGRES_DSN"), schema))
		}
		f.cores = map[string]*Core{
			messages.Orchestrator: newCore(f.db), messages.PaymentService: beside("payments"),
			messages.InventoryService: beside("inventory"), messages.NotificationService: beside("notifications"),
		}
		f.carry = engine.New(NewSagas(f.cores[messages.Orchestrator]), engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, silent{}, "test", time.Now)
		f.store, f.audits = NewOperator(f.cores), NewLetters(f.cores, nil)
		f.desk = operator.NewDesk(f.store, f, engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, func() time.Time { return time.Now().Add(f.passed) }, func(context.Context, time.Duration) error {
			f.passed += 4 * time.Second // the test's own time
			f.paused()
			return nil
		})
		f.orderID = f.place(t)
		test(t, f)
	})
}

// place makes an order whose OrderCreated is on Kafka.
func (f *floor) place(t *testing.T) string {
	t.Helper()
	answer, err := newPlace(t, f.cores[messages.Orchestrator]).Handle(t.Context(), wish)
	if err != nil {
		t.Fatal(err)
	}
	f.published(t, f.db)
	return answer.OrderID
}

func (f *floor) published(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), "UPDATE outbox SET published_at = created_at WHERE published_at IS NULL"); err != nil {
		t.Fatal(err)
	}
}

func (f *floor) hear(t *testing.T, orderID string, all ...messages.Message) {
	t.Helper()
	for _, m := range all {
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "orchestrator.x", MessageID: orderID + m.Name(), CorrelationID: orderID, Type: m.Name()})
		if err := f.carry.Handle(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
}

func created(id string) messages.Message {
	return &messages.OrderCreated{OrderID: id, UserID: "usr_1", Total: 2400, Currency: "LKR"}
}

func (f *floor) plan(t *testing.T, act saga.Act, orderIDs ...string) operator.Plan {
	t.Helper()
	if len(orderIDs) == 0 {
		orderIDs = []string{f.orderID}
	}
	to := 0
	if act == saga.ToVersion {
		to = 1
	}
	p, err := f.desk.Plan(t.Context(), act, to, "", f.chosen(t, orderIDs))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// chosen is sagas as they are now.
func (f *floor) chosen(t *testing.T, orderIDs []string) (all []operator.Chosen) {
	t.Helper()
	for _, id := range orderIDs {
		all = append(all, operator.Chosen{OrderID: id, Version: count(t, f.db, "SELECT coalesce(max(version), 0) FROM sagas WHERE order_id = ?", id)})
	}
	return all
}

// apply gives what became of the items, by outcome and detail.
func (f *floor) apply(t *testing.T, p operator.Plan) string {
	t.Helper()
	sum, err := f.desk.Apply(t.Context(), p, f.request(p), func(plan.Result) {})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range sum.Items {
		said = append(said, strings.TrimSuffix(r.Outcome+" "+r.Detail, " "))
	}
	return strings.Join(said, "; ")
}

func (f *floor) request(p operator.Plan) operator.Request {
	return operator.Request{Confirm: p.SHA256, By: plan.Attribution{Actor: "maya", Reason: "mended"}, NewEffects: true, Timeout: 10 * time.Second}
}

func (f *floor) waits(t *testing.T, orderID string) (ids []string) {
	t.Helper()
	query := f.db.Rebind("SELECT id FROM outbox WHERE aggregate_id = ? AND published_at IS NULL ORDER BY seq")
	if err := f.db.SelectContext(t.Context(), &ids, query, orderID); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (f *floor) acts(t *testing.T) []audit.Record {
	t.Helper()
	all, err := f.audits.Audit(t.Context(), audit.RecordFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestARedriveSendsWhatTheStepWaitsForUnderItsOwnID(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		p := f.plan(t, saga.Redrive)
		if len(p.Items) != 1 || len(p.Items[0].Sends) != 1 || p.Items[0].Sends[0].Effect != operator.Late || len(p.Totals.Captures) != 1 || !p.NewEffects() {
			t.Fatalf("the plan is %+v", p)
		}
		f.paused = func() { f.hear(t, f.orderID, &messages.PaymentSucceeded{OrderID: f.orderID}) }
		if got := f.apply(t, p); got != "VERIFIED it is awaiting_inventory" {
			t.Errorf("it was %s", got)
		}
		if got := f.waits(t, f.orderID); !slices.Equal(got, []string{p.Items[0].Sends[0].ID}) {
			t.Errorf("%v waits for Kafka", got)
		}
		if n := outgoing(t, f.db, f.orderID); n != 1 {
			t.Errorf("there are %d messages of it, not the one", n)
		}
		got := f.acts(t)
		if len(got) != 1 || got[0].Act != "saga redrive" || got[0].Actor != "maya" || got[0].Reason != "mended" || got[0].Plan != p.SHA256 ||
			got[0].Outcome != plan.Verified || got[0].Did != "sends OrderCreated again" || got[0].Target != f.orderID {
			t.Errorf("the audit says %+v", got)
		}
	})
}

func TestAnAnswerIsFetchedFromTheOutboxOfWhoeverGaveIt(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		paying := f.cores[messages.PaymentService]
		err := paying.alone(t.Context(), func(u *unit) error { return u.Publish(&messages.PaymentSucceeded{OrderID: f.orderID}) })
		if err != nil {
			t.Fatal(err)
		}
		f.published(t, paying.DB)
		p := f.plan(t, saga.Redrive)
		if len(p.Items) != 1 || len(p.Items[0].Sends) != 2 || p.Items[0].Sends[0].Service != messages.PaymentService {
			t.Fatalf("the plan is %+v", p)
		}
		f.paused = func() { f.hear(t, f.orderID, &messages.PaymentSucceeded{OrderID: f.orderID}) }
		f.apply(t, p)
		answer := p.Items[0].Sends[0].ID
		if !slices.Contains(f.waits(t, f.orderID), answer) {
			t.Error("the answer does not wait for Kafka")
		}
		same := "SELECT count(*) FROM outbox WHERE id = ? AND topic = 'payment.events' AND event_type = 'PaymentSucceeded' AND headers LIKE '%" + answer + "%'"
		if count(t, f.db, same, answer) != 1 || count(t, paying.DB, "SELECT count(*) FROM outbox WHERE published_at IS NULL") != 0 {
			t.Error("the copy is another message, or the original was touched")
		}
	})
}

func TestASagaThatHasNotBegunIsRedriven(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		p := f.plan(t, saga.Redrive)
		f.paused = func() { f.hear(t, f.orderID, created(f.orderID)) }
		if got := f.apply(t, p); got != "VERIFIED it is awaiting_payment" {
			t.Errorf("it was %s", got)
		}
		if n := count(t, f.db, "SELECT count(*) FROM saga_journal WHERE order_id = ?", f.orderID); n != 2 {
			t.Errorf("%d entries, want the act and OrderCreated", n)
		}
	})
}

func TestASagaThatMovesBetweenPlanAndApplyIsSkipped(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		p := f.plan(t, saga.Compensate)
		f.hear(t, f.orderID, &messages.PaymentSucceeded{OrderID: f.orderID})
		if got := f.apply(t, p); got != "SKIPPED it has changed since the plan was made: its version is 2 and was 1" {
			t.Errorf("it was %s", got)
		}
		if len(f.waits(t, f.orderID)) != 0 || len(f.acts(t)) != 0 {
			t.Error("something was done all the same")
		}
	})
}

func TestWhatBecomesADeadLetterHasFailedAgain(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID), &messages.PaymentSucceeded{OrderID: f.orderID}, &messages.InventoryFailed{OrderID: f.orderID})
		f.published(t, f.db)
		kept := func(id string, at time.Time) {
			d := letterOf("payment-service.payment.commands", f.orderID, id)
			d.Service, d.Handler, d.LastAt = messages.PaymentService, "refund_payment", at
			if err := NewDeadLetters(f.cores[messages.PaymentService]).Keep(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		kept("before", time.Now().Add(-time.Hour)) // of which the operator knew
		p := f.plan(t, saga.RetryStep)
		if len(p.Items) != 1 || p.Totals.New != 1 || p.Totals.Money["LKR"] != 2400 {
			t.Fatalf("the plan is %+v", p)
		}
		f.paused = func() { kept("after", time.Now().Add(time.Minute)) }
		if got := f.apply(t, p); got != "FAILED_AGAIN a dead letter of refund_payment: broken_shelf" {
			t.Errorf("it was %s", got)
		}
		if got := f.waits(t, f.orderID); !slices.Equal(got, []string{p.Items[0].Sends[0].ID}) {
			t.Errorf("%v waits for Kafka, and the plan has %s", got, p.Items[0].Sends[0].ID)
		}
	})
}

func TestWhatHasTimedOutIsHeardOfLaterAndNotDoneTwice(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		p := f.plan(t, saga.Compensate)
		if got := f.apply(t, p); got != "TIMED_OUT done, and it still is undoing_inventory" {
			t.Errorf("it was %s", got)
		}
		f.published(t, f.db)
		f.paused = func() {
			f.hear(t, f.orderID, &messages.InventoryReleased{OrderID: f.orderID}, &messages.PaymentRefunded{OrderID: f.orderID})
		}
		if got := f.apply(t, p); got != "VERIFIED it is cancelled" {
			t.Errorf("the second time it was %s", got)
		}
		if n := count(t, f.db, "SELECT count(*) FROM saga_journal WHERE order_id = ? AND type = 'OperatorCompensate'", f.orderID); n != 1 {
			t.Errorf("it was done %d times", n)
		}
		if n := count(t, f.db, "SELECT count(*) FROM outbox WHERE aggregate_id = ? AND event_type = 'ReleaseInventory'", f.orderID); n != 1 {
			t.Errorf("%d releases were sent", n)
		}
		if lines := count(t, f.db, "SELECT count(*) FROM ops_audit"); lines != 3 {
			t.Errorf("the audit has %d lines, want the act and its two outcomes", lines)
		}
	})
}

func TestAnApplyThatWasKilledGoesOnAndDoublesNothing(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		all := []string{f.orderID, f.place(t), f.place(t), f.place(t), f.place(t)}
		for _, id := range all {
			f.hear(t, id, created(id))
		}
		p := f.plan(t, saga.Resume, all...)
		f.cut = 3
		if _, err := f.desk.Apply(t.Context(), p, f.request(p), func(plan.Result) {}); !errors.Is(err, errKilled) {
			t.Fatalf("the kill ended it with %v", err)
		}
		if n := len(f.acts(t)); n != 3 {
			t.Fatalf("%d acts were done before the kill", n)
		}
		if got := f.apply(t, p); strings.Count(got, "VERIFIED") != 5 {
			t.Errorf("it was %s", got)
		}
		if n := count(t, f.db, "SELECT count(*) FROM saga_journal WHERE type = 'OperatorResume'"); n != 5 || len(f.acts(t)) != 5 {
			t.Errorf("%d entries for five acts, and %d acts in the audit", n, len(f.acts(t)))
		}
		if n := count(t, f.db, "SELECT count(*) FROM saga_timers WHERE entry = 2"); n != 5 {
			t.Errorf("%d sagas have a time-out of their own again", n)
		}
	})
}

func TestATimeOutIsSetAsPlannedOrNotAtAll(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		o := engine.Command{ID: "a1", Act: saga.Resume, OrderID: f.orderID, Version: 1, By: plan.Attribution{Plan: "5ea1"}}
		if err := f.Operate(t.Context(), o); !errors.Is(err, engine.ErrUnstated) {
			t.Errorf("a time-out of no length: %v", err)
		}
		if len(f.acts(t)) != 0 || count(t, f.db, "SELECT count(*) FROM saga_timers WHERE entry = 2") != 0 {
			t.Error("it was done all the same")
		}
		o.Timeouts.Payment = 20 * time.Minute
		if err := f.Operate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		var due time.Time
		if err := f.db.GetContext(t.Context(), &due, "SELECT due_at FROM saga_timers WHERE entry = 2"); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(due); left < 15*time.Minute || left > 25*time.Minute {
			t.Errorf("it is due in %s", left)
		}
		if did := f.acts(t)[0].Did; did != "sends nothing, sets the payment time-out to 20m0s" {
			t.Errorf("the audit says %s", did)
		}
	})
}

func TestASagaWhoseLeaseAnotherApplyHasIsSkipped(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		first := f.plan(t, saga.Redrive)
		by := plan.Attribution{Actor: "ben", Reason: "first", Plan: first.SHA256}
		o := engine.Command{ID: first.Items[0].ActID, Act: saga.Redrive, OrderID: f.orderID, Version: 1, Again: []engine.Again{first.Items[0].Sends[0].Again}, By: by}
		if err := f.Operate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		second := f.plan(t, saga.Resume)
		if got := f.apply(t, second); !strings.HasPrefix(got, "SKIPPED another apply has the saga in hand") {
			t.Errorf("it was %s", got)
		}
		if err := f.store.Note(t.Context(), o.ID, plan.Result{Outcome: plan.TimedOut}); err != nil {
			t.Fatal(err)
		}
		if got := f.apply(t, second); got != "VERIFIED it is awaiting_payment" {
			t.Errorf("after the other had ended it was %s", got)
		}
	})
}

// pays lets payment's books say that.
func (f *floor) pays(t *testing.T, state string) {
	t.Helper()
	db := f.cores[messages.PaymentService].DB
	_, err := db.ExecContext(t.Context(), db.Rebind(`INSERT INTO payments (order_id, state, amount, currency, method, lines,
		provider_id, auth_code, reason, created_at, updated_at) VALUES (?, ?, 2400, 'LKR', 'pm', '[]', '', '', 'no', `+
		db.Dialect.Now()+`, `+db.Dialect.Now()+`) ON CONFLICT (order_id) DO UPDATE SET state = excluded.state`), f.orderID, state)
	if err != nil {
		t.Fatal(err)
	}
}

func TestARefundIsNotCommandedAgainWhilePaymentIsAtIt(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID), &messages.PaymentSucceeded{OrderID: f.orderID}, &messages.InventoryFailed{OrderID: f.orderID})
		f.published(t, f.db)
		for _, state := range []string{"undoing", "refunding"} {
			f.pays(t, state)
			p := f.plan(t, saga.RetryStep)
			if len(p.Items) != 0 || len(p.Refused) != 1 || !strings.Contains(p.Refused[0].Why, "the books say "+state) {
				t.Errorf("with books that say %s the plan is %+v", state, p)
			}
		}
		f.pays(t, "captured") // the command has not come
		p := f.plan(t, saga.RetryStep)
		if len(p.Items) != 1 {
			t.Fatalf("the plan is %+v", p)
		}
		f.pays(t, "refunding") // it comes
		if got := f.apply(t, p); !strings.HasPrefix(got, "SKIPPED its participant is at it: the books say refunding") {
			t.Errorf("it was %s", got)
		}
		if len(f.waits(t, f.orderID)) != 0 || len(f.acts(t)) != 0 {
			t.Error("something was done all the same")
		}
		f.pays(t, "refunded") // and its answer was lost
		if got := f.apply(t, p); !strings.HasPrefix(got, "TIMED_OUT") || len(f.waits(t, f.orderID)) != 1 {
			t.Errorf("asked for an answer that was lost it was %s", got)
		}
	})
}

func TestAStepIsSkippedOnWhatTheParticipantsBooksSay(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		if p := f.plan(t, saga.SkipStep); len(p.Items) != 0 || len(p.Refused) != 1 {
			t.Fatalf("without a word of payment's the plan is %+v", p)
		}
		f.pays(t, "declined")
		p := f.plan(t, saga.SkipStep)
		if len(p.Items) != 1 || p.Items[0].Found != "PaymentFailed" || p.Items[0].To != saga.Failed || p.Totals.Mails != 1 {
			t.Fatalf("the plan is %+v", p)
		}
		if got := f.apply(t, p); got != "VERIFIED it is failed" {
			t.Errorf("it was %s", got)
		}
	})
}

// The version of the saga says nothing of books that are kept elsewhere.
func TestAStepIsNotSkippedOnWhatTheBooksNoLongerSay(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		f.pays(t, "declined")
		p := f.plan(t, saga.SkipStep)
		if len(p.Items) != 1 {
			t.Fatalf("the plan is %+v", p)
		}
		for state, why := range map[string]string{"capturing": "no answer", "captured": "PaymentSucceeded"} {
			f.pays(t, state)
			if got := f.apply(t, p); got != "SKIPPED it has changed since the plan was made: the books of its participant say "+why+", and said PaymentFailed" {
				t.Errorf("with books that say %s it was %s", state, got)
			}
		}
		if len(f.waits(t, f.orderID)) != 0 || len(f.acts(t)) != 0 {
			t.Error("something was done all the same")
		}
		f.pays(t, "declined")
		if got := f.apply(t, p); got != "VERIFIED it is failed" {
			t.Errorf("with books as planned it was %s", got)
		}
	})
}

func TestASagaThatCannotBeReadLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		all := []string{f.orderID, f.place(t), f.place(t)}
		for _, id := range all {
			f.hear(t, id, created(id))
		}
		f.spoil(t, all[0])
		p := f.plan(t, saga.Resume, all...)
		if len(p.Items) != 2 || len(p.Refused) != 1 || p.Refused[0].OrderID != all[0] || p.Refused[0].State != saga.AwaitingPayment ||
			!strings.HasPrefix(p.Refused[0].Why, "UNREADABLE: ") {
			t.Fatalf("the plan is %+v", p)
		}
		f.spoil(t, all[1])
		got := strings.Split(f.apply(t, p), "; ")
		slices.Sort(got)
		if len(got) != 2 || !strings.HasPrefix(got[0], "SKIPPED ") || got[1] != "VERIFIED it is awaiting_payment" {
			t.Errorf("it was %q", got)
		}
		q := f.plan(t, saga.Resume, all[2])
		by := plan.Attribution{Plan: q.SHA256}
		if err := f.Operate(t.Context(), engine.Command{ID: q.Items[0].ActID, Act: saga.Resume, OrderID: all[2], Version: q.Items[0].Version,
			Timeouts: engine.Timeouts{Payment: time.Hour}, By: by}); err != nil {
			t.Fatal(err)
		}
		f.spoil(t, all[2])
		if got := f.apply(t, q); !strings.HasPrefix(got, "TIMED_OUT done, and its saga is UNREADABLE: ") {
			t.Errorf("spoilt behind its act it was %s", got)
		}
	})
}

// spoil makes a saga's stored state one that no build can read.
func (f *floor) spoil(t *testing.T, orderID string) {
	t.Helper()
	if _, err := f.db.ExecContext(t.Context(), f.db.Rebind(`UPDATE sagas SET state = '{"step":"asleep"}' WHERE order_id = ?`), orderID); err != nil {
		t.Fatal(err)
	}
}

func TestAMigratedSagaGoesOnByItsNewVersion(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID), &messages.PaymentSucceeded{OrderID: f.orderID})
		p := f.plan(t, saga.ToVersion)
		if len(p.Items) != 1 || p.Items[0].From != saga.Version || p.Version != 1 || p.NewEffects() {
			t.Fatalf("the plan is %+v", p)
		}
		if got := f.apply(t, p); got != "VERIFIED it is awaiting_inventory" {
			t.Errorf("it was %s", got)
		}
		if n := count(t, f.db, "SELECT definition FROM sagas WHERE order_id = ?", f.orderID); n != 1 {
			t.Errorf("the saga has version %d", n)
		}
		if n := count(t, f.db, "SELECT count(*) FROM saga_journal WHERE order_id = ? AND type = 'OperatorMigrate' AND definition = 1", f.orderID); n != 1 {
			t.Errorf("%d entries say so", n)
		}
		if err := f.carry.Fire(t.Context(), engine.DueTimer{OrderID: f.orderID, Name: saga.InventoryTimer, Entry: 2}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, f.db, "SELECT count(*) FROM sagas WHERE step = 'undoing_inventory'"); n != 1 {
			t.Error("the first time-out of inventory was let pass, as version 2 does")
		}
		if p := f.plan(t, saga.ToVersion); len(p.Items) != 0 || p.Refused[0].Why != "it has version 1 already" {
			t.Errorf("the second plan is %+v", p)
		}
	})
}

func TestTheAuditCannotBeChanged(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		f.apply(t, f.plan(t, saga.Resume))
		for _, change := range []string{"UPDATE ops_audit SET actor = 'nobody'", "DELETE FROM ops_audit"} {
			if _, err := f.db.ExecContext(t.Context(), change); err == nil || !strings.Contains(fmt.Sprint(err), "append-only") {
				t.Errorf("%s: %v", change, err)
			}
		}
		if n := len(f.acts(t)); n != 1 {
			t.Errorf("the audit has %d acts", n)
		}
	})
}

func TestWhatIsDoneAboutDeadLettersIsInTheAudit(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		item := l.item(t, "m1")
		by := plan.Attribution{Actor: "maya", Reason: "it was a test", Plan: "5ea1"}
		if err := l.letters.Discard(t.Context(), item, by); err != nil {
			t.Fatal(err)
		}
		for range 2 { // said twice, kept once
			if err := l.letters.Note(t.Context(), item, "discard", by, plan.Result{Outcome: plan.Verified}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := l.letters.Audit(t.Context(), audit.RecordFilter{Act: "discard", Actor: "maya", Plan: "5ea1", OrderID: "ord_1", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)})
		if err != nil || len(got) != 1 || got[0].Act != "dlq discard" || got[0].Target != item.ID || got[0].Outcome != plan.Verified {
			t.Errorf("the audit says %+v, %v", got, err)
		}
		if n := count(t, l.db, "SELECT count(*) FROM ops_audit"); n != 2 {
			t.Errorf("%d lines, want two", n)
		}
		if none, err := l.letters.Audit(t.Context(), audit.RecordFilter{Act: "redrive"}); err != nil || len(none) != 0 {
			t.Errorf("%+v, %v", none, err)
		}
	})
}

// A newer build is rolled out beside the operator's. It migrates a saga; or it has one from its beginning, and the
// plan is of that build.
func TestASagaOfANewerBuildKeepsNoOtherFromItsAct(t *testing.T) {
	t.Parallel()
	for version, why := range map[string]string{
		"version + 1": "SKIPPED it has changed since the plan was made: its version is 2 and was 1",
		"version":     "SKIPPED UNREADABLE: this build has no code for version 99 of its definition",
	} {
		eachFloor(t, func(t *testing.T, f *floor) {
			all := []string{f.orderID, f.place(t)}
			for _, id := range all {
				f.hear(t, id, created(id))
			}
			p := f.plan(t, saga.Resume, all...)
			if len(p.Items) != 2 {
				t.Fatalf("the plan is %+v", p)
			}
			query := f.db.Rebind("UPDATE sagas SET definition = 99, version = " + version + `, state = '{"step":"pondering"}' WHERE order_id = ?`)
			if _, err := f.db.ExecContext(t.Context(), query, p.Items[0].OrderID); err != nil {
				t.Fatal(err)
			}
			if got, want := f.apply(t, p), why+"; VERIFIED it is awaiting_payment"; got != want {
				t.Errorf("it was %s, want %s", got, want)
			}
		})
	}
}
