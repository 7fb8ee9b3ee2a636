package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// yard is a number of sagas that wait for inventory. One goes on when its messages are sent again, unless
// it is ill.
type yard struct {
	order   []string
	sagas   map[string]*standing
	audit   map[string]map[string]time.Time // plan → order → when
	notes   []string
	begun   []time.Time
	failure error // of every act
	mended  time.Time
	inbox   map[string]string // of inventory, by message
	waits   engine.Timeouts   // where the desk is
	set     []engine.Timeouts
}

type standing struct {
	operator.Standing

	acted time.Time
	ill   string // "dead" for a dead letter, "deaf" for nothing at all, "late" and "undone" for a time-out, "cancelled", "lost"
}

func newYard(n int) *yard {
	y := &yard{sagas: map[string]*standing{}, audit: map[string]map[string]time.Time{}}
	for i := range n {
		id := fmt.Sprintf("ord_%d", i)
		s := saga.Start()
		s.Step, s.Entry, s.UserID = saga.AwaitingInventory, 2, "usr_1"
		y.order = append(y.order, id)
		y.sagas[id] = &standing{Standing: operator.Standing{
			Version: 2, Definition: saga.Version, State: s, Total: 100, Currency: "LKR",
			Again: []engine.Again{{ID: id + ".paid", Type: "PaymentSucceeded", Topic: "payment.events", Service: "payment-service"}},
		}}
	}
	return y
}

func (y *yard) Standings(_ context.Context, ids []string) (map[string]operator.Standing, error) {
	all := map[string]operator.Standing{}
	for _, id := range ids {
		if s := y.sagas[id]; s != nil {
			all[id] = s.Standing
		}
	}
	return all, nil
}

func (y *yard) Progress(_ context.Context, ids []string) (map[string]operator.Progress, error) {
	all := map[string]operator.Progress{}
	for _, id := range ids {
		s := y.sagas[id]
		if s.ill == "lost" {
			continue
		}
		p := operator.Progress{Version: s.Version, State: s.State, Unreadable: s.Unreadable}
		if s.ill == "dead" {
			p.Dead = []operator.Dead{{At: time.Now(), Handler: "reserve_stock", Reason: "bad_data"}}
		}
		all[id] = p
	}
	return all, nil
}

func (y *yard) Operate(_ context.Context, o engine.Command) error {
	s := y.sagas[o.OrderID]
	switch {
	case s.ill == "broken":
		return errors.New("its state cannot be read")
	case y.failure != nil && (y.mended.IsZero() || time.Now().Before(y.mended)):
		return y.failure
	case s.Version != o.Version:
		return engine.ErrMoved.Because(fmt.Errorf("its version is %d and was %d", s.Version, o.Version))
	}
	if y.audit[o.By.Plan] == nil {
		y.audit[o.By.Plan] = map[string]time.Time{}
	}
	y.audit[o.By.Plan][o.OrderID] = time.Now()
	y.begun = append(y.begun, time.Now())
	y.set = append(y.set, o.Timeouts)
	s.Version++
	s.acted = time.Now()
	return nil
}

func (y *yard) RenewLeases(context.Context, string) error { return nil }

func (y *yard) Begun(_ context.Context, seal string) (map[string]time.Time, error) {
	return y.audit[seal], nil
}

func (y *yard) Note(_ context.Context, actID string, r plan.Result) error {
	if actID != r.ID {
		return errors.New("the note is of another act")
	}
	y.notes = append(y.notes, r.OrderID+" "+r.Outcome)
	return nil
}

// goOn takes one step of the services.
func (y *yard) goOn() {
	for _, s := range y.sagas {
		switch {
		case s.acted.IsZero():
		case s.ill == "":
			s.State.Step, s.State.Entry = saga.Confirmed, 3
		case s.ill == "late": // its time-out comes, and is let pass
			s.State.Entry, s.State.Waited = 3, 1
		case s.ill == "undone":
			s.State.Step, s.State.Entry, s.State.Reason = saga.UndoingInventory, 3, messages.ReasonInventoryTimeout
		case s.ill == "cancelled":
			s.State.Step, s.State.Entry, s.State.Reason = saga.UndoingInventory, 3, messages.ReasonCancelledByUser
		}
	}
}

func (y *yard) desk() *operator.Desk {
	return operator.NewDesk(y, y, y.waits, time.Now, func(_ context.Context, d time.Duration) error {
		y.goOn()
		time.Sleep(d) // the test's own time
		return nil
	})
}

// chosen is every saga as it is now.
func (y *yard) chosen() []operator.Chosen {
	all := make([]operator.Chosen, len(y.order))
	for n, id := range y.order {
		all[n] = operator.Chosen{OrderID: id, Version: y.sagas[id].Version}
	}
	return all
}

func (y *yard) plan(t *testing.T, act saga.Act) operator.Plan {
	t.Helper()
	p, err := y.desk().Plan(t.Context(), act, 0, "stuck=true", y.chosen())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(p operator.Plan) operator.Request {
	return operator.Request{Confirm: p.SHA256, By: plan.Attribution{Actor: "maya", Reason: "mended"}, Timeout: 10 * time.Second}
}

// apply gives the outcomes, counted.
func (y *yard) apply(t *testing.T, p operator.Plan, pace plan.Pace) string {
	t.Helper()
	r := request(p)
	r.Pace = pace
	told := 0
	sum, err := y.desk().Apply(t.Context(), p, r, func(plan.Result) { told++ })
	if err != nil || told != len(p.Items) || len(sum.Items) != told || sum.OK != (sum.Verified == told) {
		t.Errorf("%d of %d were told of, the sum is %+v, %v", told, len(p.Items), sum, err)
	}
	return fmt.Sprintf("%d verified, %d failed again, %d skipped, %d timed out", sum.Verified, sum.FailedAgain, sum.Skipped, sum.TimedOut)
}

func each(t *testing.T, n int, do func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newYard(n)) })
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryItemIsToldOfAsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	each(t, 120, func(t *testing.T, y *yard) {
		y.sagas["ord_3"].ill, y.sagas["ord_4"].ill = "dead", "deaf"
		p := y.plan(t, saga.Redrive)
		y.sagas["ord_5"].Version++
		want(t, y.apply(t, p, plan.Pace{}), "117 verified, 1 failed again, 1 skipped, 1 timed out")
		if len(y.notes) != 119 {
			t.Errorf("%d outcomes were noted of 119 acts", len(y.notes))
		}
		y.sagas["ord_4"].ill = ""
		want(t, y.apply(t, p, plan.Pace{}), "118 verified, 1 failed again, 1 skipped, 0 timed out")
		if len(y.begun) != 119 {
			t.Errorf("119 acts were done %d times", len(y.begun))
		}
	})
}

func TestARedrivenSagaThatOnlyWaitsOnceMoreIsNotVerified(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, y *yard) {
		y.sagas["ord_1"].ill = "late"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{}), "1 verified, 0 failed again, 0 skipped, 1 timed out")
	})
}

func TestARedrivenSagaThatItsTimeOutUndoesHasFailedAgain(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, y *yard) {
		y.sagas["ord_1"].ill = "undone"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{}), "1 verified, 1 failed again, 0 skipped, 0 timed out")
	})
}

// Nobody has answered, and that says nothing about what was mended: the canary is another one.
func TestARedrivenSagaThatACancelOvertakesIsNotVerified(t *testing.T) {
	t.Parallel()
	each(t, 4, func(t *testing.T, y *yard) {
		y.sagas["ord_0"].ill = "cancelled"
		p := y.plan(t, saga.Redrive)
		r := request(p)
		r.Pace = plan.Pace{Canary: 1}
		sum, err := y.desk().Apply(t.Context(), p, r, func(plan.Result) {})
		if err != nil || sum.Verified != 3 || sum.Skipped != 1 {
			t.Fatalf("the sum is %+v, %v", sum, err)
		}
		if first := sum.Items[0]; first.OrderID != "ord_0" || first.Detail != "a cancel came first: it is undoing_inventory" {
			t.Errorf("it was told of as %+v", first)
		}
		if y.notes[0] != "ord_0 "+plan.Skipped {
			t.Errorf("noted was %v", y.notes)
		}
	})
}

// The desk looks now and then, and may see the cancel and the answer before it at once.
func TestARedrivenSagaThatWasAnsweredBeforeItsCancelIsVerified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at, seen saga.Step
		entry    int
		verified int
	}{
		{saga.AwaitingPayment, saga.UndoingInventory, 3, 0},
		{saga.AwaitingPayment, saga.UndoingInventory, 4, 1},
		{saga.AwaitingPayment, saga.UndoingPayment, 4, 0},
		{saga.AwaitingPayment, saga.Cancelled, 5, 0},
		{saga.AwaitingPayment, saga.Cancelled, 6, 1},
		{saga.AwaitingInventory, saga.Cancelled, 5, 0},
		{saga.New, saga.Cancelled, 5, 1}, // only the message that was sent again leads on from there
		{saga.UndoingInventory, saga.Cancelled, 4, 1},
	} {
		each(t, 1, func(t *testing.T, y *yard) {
			s := y.sagas["ord_0"]
			s.State.Step, s.ill = c.at, "deaf"
			p := y.plan(t, saga.Redrive)
			s.State.Step, s.State.Entry, s.State.Reason = c.seen, c.entry, messages.ReasonCancelledByUser
			sum, err := y.desk().Apply(t.Context(), p, request(p), func(plan.Result) {})
			if err != nil || sum.Verified != c.verified || sum.Skipped != 1-c.verified {
				t.Errorf("from %s to %s in entry %d: %+v, %v", c.at, c.seen, c.entry, sum, err)
			}
		})
	}
}

func TestASagaThatIsNotFoundIsNotVerified(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, y *yard) {
		y.sagas["ord_1"].ill = "lost"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{}), "1 verified, 0 failed again, 0 skipped, 1 timed out")
	})
}

func TestASagaThatCannotBeActedOnKeepsNoOtherFromItsAct(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.sagas["ord_0"].ill = "broken"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{}), "2 verified, 0 failed again, 1 skipped, 0 timed out")
	})
}

func TestACanaryThatFailsStopsTheRest(t *testing.T) {
	t.Parallel()
	each(t, 20, func(t *testing.T, y *yard) {
		y.sagas["ord_1"].ill = "dead"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{Canary: 5}), "4 verified, 1 failed again, 15 skipped, 0 timed out")
		if len(y.begun) != 5 {
			t.Errorf("%d were begun", len(y.begun))
		}
	})
}

func TestTheRateAndTheShareOfErrorsAreKept(t *testing.T) {
	t.Parallel()
	each(t, 40, func(t *testing.T, y *yard) {
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{PerSecond: 10}), "40 verified, 0 failed again, 0 skipped, 0 timed out")
		if took := y.begun[39].Sub(y.begun[0]); took < 3800*time.Millisecond || took > 5*time.Second {
			t.Errorf("forty at ten a second took %s", took)
		}
	})
	each(t, 200, func(t *testing.T, y *yard) {
		for _, s := range y.sagas {
			s.ill = "dead"
		}
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{PerSecond: 4, StopAt: 0.02}), "0 verified, 5 failed again, 195 skipped, 0 timed out")
	})
	each(t, 200, func(t *testing.T, y *yard) { // as fast as it goes, and errors stop it as early
		for _, s := range y.sagas {
			s.ill = "deaf"
		}
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{StopAt: 0.02}), "0 verified, 0 failed again, 195 skipped, 5 timed out")
		if len(y.begun) != 5 {
			t.Errorf("%d were begun", len(y.begun))
		}
	})
}

func TestARateSlowerThanTheTimeOutIsKept(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.sagas["ord_1"].ill = "deaf"
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{PerSecond: 0.02}), "2 verified, 0 failed again, 0 skipped, 1 timed out")
	})
}

func TestAnotherRunOfTheSamePlanDoublesNothing(t *testing.T) {
	t.Parallel()
	each(t, 10, func(t *testing.T, y *yard) {
		p := y.plan(t, saga.Redrive)
		first := y.desk()
		y.failure = fmt.Errorf("the process was killed: %w", context.Canceled)
		if _, err := first.Apply(t.Context(), p, request(p), func(plan.Result) {}); !errors.Is(err, y.failure) {
			t.Fatalf("it ended with %v", err)
		}
		y.failure = nil
		by := plan.Attribution{Plan: p.SHA256} // somebody else applies the same plan, and is faster with one of them
		if err := y.Operate(t.Context(), engine.Command{OrderID: "ord_9", Version: 2, By: by}); err != nil {
			t.Fatal(err)
		}
		want(t, y.apply(t, p, plan.Pace{}), "10 verified, 0 failed again, 0 skipped, 0 timed out")
		if len(y.begun) != 10 {
			t.Errorf("ten acts were done %d times", len(y.begun))
		}
	})
}

func TestAStoreThatIsBusyIsWaitedFor(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.failure = fault.New(fault.Unavailable, "database_busy", "the database did not give a lock in time")
		y.mended = time.Now().Add(5 * time.Second)
		want(t, y.apply(t, y.plan(t, saga.Redrive), plan.Pace{}), "3 verified, 0 failed again, 0 skipped, 0 timed out")
	})
	each(t, 3, func(t *testing.T, y *yard) {
		y.failure = fault.New(fault.Unavailable, "database_away", "the database is not reachable")
		p := y.plan(t, saga.Redrive)
		if _, err := y.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, y.failure) {
			t.Errorf("a store that stays away: %v", err)
		}
	})
}

func TestNothingIsDoneByAPlanThatIsAlteredUnconfirmedOrMoreThanARepetition(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		p := y.plan(t, saga.Compensate)
		if p.Totals.Orders != 3 || p.Totals.New != 3 || p.Totals.Mails != 3 || p.Totals.Money["LKR"] != 300 {
			t.Errorf("the totals are %+v", p.Totals)
		}
		if words := p.String(); words != "compensate 3 sagas: 0 messages again, 3 new, 3 mails, nothing charged, 300 LKR given back" {
			t.Errorf("its line is %s", words)
		}
		refused := func(p operator.Plan, r operator.Request, want error) {
			t.Helper()
			if _, err := y.desk().Apply(t.Context(), p, r, nil); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		altered, unconfirmed := p, request(p)
		altered.Items = altered.Items[1:]
		unconfirmed.Confirm = ""
		refused(altered, request(p), plan.ErrAltered)
		refused(p, unconfirmed, plan.ErrUnconfirmed)
		refused(p, request(p), plan.ErrNewEffects)
		if len(y.begun) != 0 {
			t.Errorf("%d acts were done all the same", len(y.begun))
		}
	})
}

func TestWhatAnActIsNotForIsListedAsRefused(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.sagas["ord_0"].State.Step = saga.Confirmed
		y.sagas["ord_1"].Again = nil
		y.sagas["ord_2"].Definition = saga.Version + 76
		p := y.plan(t, saga.Redrive)
		if len(p.Items) != 0 || len(p.Refused) != 3 {
			t.Fatalf("the plan is %+v", p)
		}
		for n, why := range []string{"the saga has ended: it is confirmed", "no message that it waits for", "no code for the saga's definition version"} {
			if !strings.Contains(p.Refused[n].Why, why) {
				t.Errorf("%s was refused because %q", p.Refused[n].OrderID, p.Refused[n].Why)
			}
		}
	})
}

// The query chose it as it was; whether it still would, nobody has asked.
func TestASagaThatMovesWhileThePlanIsMadeIsLeftOut(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		chosen := y.chosen()
		y.sagas["ord_1"].Version++ // it stands in the same step, and something has happened to it
		p, err := y.desk().Plan(t.Context(), saga.Redrive, 0, "older=15m", chosen)
		if err != nil || len(p.Items) != 2 || len(p.Refused) != 1 || p.Totals.Orders != 2 {
			t.Fatalf("the plan is %+v, %v", p, err)
		}
		if r := p.Refused[0]; r.OrderID != "ord_1" || r.State != saga.AwaitingInventory || !strings.HasPrefix(r.Why, "it moved while the plan was made") {
			t.Errorf("it was refused as %+v", r)
		}
	})
}

// The shell in which a plan is applied need not be the one in which it was made.
func TestTheTimeOutsThatAreSetAreThoseThatThePlanStates(t *testing.T) {
	t.Parallel()
	for _, act := range []saga.Act{saga.Resume, saga.FireTimer} { // fired the first time, version 2 waits once more
		each(t, 2, func(t *testing.T, y *yard) {
			y.waits = engine.Timeouts{Payment: 5 * time.Minute, Inventory: 90 * time.Second}
			p := y.plan(t, act)
			if len(p.Items) != 2 || len(p.Items[1].Timeouts) != 1 || !strings.HasSuffix(p.String(), ", 2 inventory time-outs set to 1m30s") {
				t.Fatalf("the plan is %s: %+v", p, p.Items)
			}
			text, err := json.Marshal(p)
			if err != nil || !strings.Contains(string(text), `"timeouts":[{"name":"inventory","after":"1m30s"}]`) {
				t.Errorf("it is written %s, %v", text, err)
			}
			if _, err := operator.ReadPlan([]byte(strings.Replace(string(text), "1m30s", "3m30s", 1))); !errors.Is(err, plan.ErrAltered) {
				t.Errorf("with another time-out it was read: %v", err)
			}
			y.waits = engine.Timeouts{Payment: time.Second, Inventory: time.Second}
			read, err := operator.ReadPlan(text)
			if err != nil {
				t.Fatal(err)
			}
			y.apply(t, read, plan.Pace{})
			if len(y.set) != 2 || y.set[0].Inventory != 90*time.Second || y.set[0].Payment != 0 {
				t.Errorf("the time-outs set were %v", y.set)
			}
		})
	}
	each(t, 1, func(t *testing.T, y *yard) {
		y.waits = engine.Timeouts{Payment: 5 * time.Minute, Inventory: 90 * time.Second}
		if p := y.plan(t, saga.Redrive); p.Items[0].Timeouts != nil || strings.Contains(p.String(), "time-out") {
			t.Errorf("a redrive sets none, and its plan says %s", p)
		}
	})
}

func TestACommandIsNotSentAgainToWhomeverIsAtIt(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		for _, s := range y.sagas {
			s.State.Step = saga.UndoingPayment
		}
		y.sagas["ord_0"].Books.Working, y.sagas["ord_1"].Books.Working = "undoing", "refunding"
		p := y.plan(t, saga.RetryStep)
		if len(p.Items) != 1 || p.Items[0].OrderID != "ord_2" || len(p.Refused) != 2 || p.Totals.New != 1 {
			t.Fatalf("the plan is %+v", p)
		}
		if why := p.Refused[1].Why; !strings.HasPrefix(why, "its participant is at it: the books say refunding, and the command once more would do nothing") {
			t.Errorf("it was refused because %q", why)
		}
		if p := y.plan(t, saga.Redrive); len(p.Refused) != 0 {
			t.Errorf("what is known to whoever gets it was refused: %+v", p.Refused)
		}
	})
}

func TestASagaThatCannotBeReadHasAReasonOfItsOwn(t *testing.T) {
	t.Parallel()
	each(t, 3, func(t *testing.T, y *yard) {
		y.sagas["ord_0"].Unreadable, y.sagas["ord_0"].State = "unexpected end of JSON input", saga.State{}
		p := y.plan(t, saga.Redrive)
		if len(p.Items) != 2 || len(p.Refused) != 1 || p.Refused[0].Why != "UNREADABLE: its state as it is stored: unexpected end of JSON input" {
			t.Fatalf("the plan is %+v", p)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operator.ReadPlan(text); err != nil {
			t.Errorf("the plan cannot be read for it: %v", err)
		}
		y.sagas["ord_1"].Unreadable = "unexpected end of JSON input" // by the time of the apply
		sum, err := y.desk().Apply(t.Context(), p, request(p), func(plan.Result) {})
		if err != nil || sum.Verified != 1 || sum.TimedOut != 1 {
			t.Fatalf("the sum is %+v, %v", sum, err)
		}
		if last := sum.Items[1]; last.OrderID != "ord_1" || last.Detail != "done, and its saga is UNREADABLE: unexpected end of JSON input" {
			t.Errorf("it was told of as %+v", last)
		}
	})
}

func TestAPlanIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	t.Parallel()
	each(t, 2, func(t *testing.T, y *yard) {
		p := y.plan(t, saga.Redrive)
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := operator.ReadPlan(text); err != nil || got.SHA256 != p.SHA256 || len(got.Items) != 2 {
			t.Errorf("read: %+v, %v", got, err)
		}
		for from, to := range map[string]string{
			`"redrive"`: `"resume"`, `"version": 2`: `"version": 3`, `"awaiting_inventory"`: `"sleeping"`, `"kind"`: `"more": 1, "kind"`,
			`"late"`: `"new"`, operator.PlanKind: "millrace dlq plan 1",
		} {
			altered := strings.Replace(string(text), from, to, 1)
			if _, err := operator.ReadPlan([]byte(altered)); altered == string(text) || !errors.Is(err, plan.ErrAltered) {
				t.Errorf("with %s it was read: %v", to, err)
			}
		}
	})
}
