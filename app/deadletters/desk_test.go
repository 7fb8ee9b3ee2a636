package deadletters_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/deadletters"
	"millrace/domain/fault"
	"millrace/domain/plan"
)

// shop keeps letters in memory, and handles what is sent again when the desk pauses.
type shop struct {
	letters []*deadletters.Whole
	refuses map[string]bool // ids that fail again
	broken  string          // id of a letter on which every act fails
	closed  bool            // the services are down
	failure error           // of every act
	mended  time.Time       // when that is over; never where it is zero
	looks   int
	notes   []string // what became of acts
	effects map[string]deadletters.Effects
	leases  map[string]string // orders, and the plans that have their leases
	acted   []string          // plans, and the letters that they have acted on
}

// add puts a letter behind those of its order.
func (s *shop) add(id, order, state string) *deadletters.Whole {
	l := &deadletters.Whole{Letter: deadletters.Letter{
		ID: id, State: state, Version: 1, Service: "inventory-service", Consumer: "c", Handler: "reserve_stock", OrderID: order,
		Reason: "broken", Position: len(s.letters) + 1, FirstAt: time.Unix(100, 0),
	}}
	s.letters = append(s.letters, l)
	return l
}

func (s *shop) find(id string) *deadletters.Whole {
	for _, l := range s.letters {
		if l.ID == id {
			return l
		}
	}
	return nil
}

// front is the first of a letter's order at its consumer that is not over.
func (s *shop) front(of *deadletters.Whole) *deadletters.Whole {
	for _, l := range s.letters {
		if l.OrderID == of.OrderID && l.Consumer == of.Consumer && (l.State == "waiting" || l.State == "parked" || l.State == "redriving") {
			return l
		}
	}
	return nil
}

func (s *shop) List(_ context.Context, f deadletters.Filter) ([]deadletters.Letter, error) {
	var found []deadletters.Letter
	for _, l := range s.letters {
		if l.State == f.State {
			found = append(found, l.Letter)
		}
	}
	return found, nil
}

func (s *shop) Show(_ context.Context, id string) (deadletters.Whole, error) { return *s.find(id), nil }

func (s *shop) move(l *deadletters.Whole, state string) { l.State, l.Version = state, l.Version+1 }

func (s *shop) act(item deadletters.Item, state string, by plan.Attribution) error {
	l := s.find(item.ID)
	switch {
	case s.failure != nil && (s.mended.IsZero() || time.Now().Before(s.mended)):
		return s.failure
	case s.broken == item.ID:
		return errors.New("its row cannot be restored")
	case l == nil:
		return deadletters.ErrNoLetter
	case l.Version != item.Version || l.State != "waiting":
		return deadletters.ErrChanged
	case s.front(l) != l:
		return deadletters.ErrBehind
	case s.leases[l.OrderID] == "":
		return errors.New("nobody has the lease of the order")
	}
	s.acted = append(s.acted, by.Plan+" "+l.ID)
	if s.move(l, state); state == "redriving" {
		l.Redrives++
		return nil
	}
	s.advance(l)
	return nil
}

func (s *shop) advance(of *deadletters.Whole) {
	if next := s.front(of); next != nil && next.State == "parked" {
		s.move(next, "redriving")
	}
}

func (s *shop) AcquireLease(_ context.Context, order string, by plan.Attribution) error {
	if plan := s.leases[order]; plan != "" && plan != by.Plan {
		return deadletters.ErrLeaseHeld
	}
	s.leases[order] = by.Plan
	return nil
}

func (s *shop) ReleaseLease(_ context.Context, order string, by plan.Attribution) error {
	if s.leases[order] == by.Plan {
		delete(s.leases, order)
	}
	return nil
}

func (s *shop) RenewLeases(_ context.Context, by plan.Attribution) ([]string, error) {
	var orders []string
	for order, plan := range s.leases {
		if plan == by.Plan {
			orders = append(orders, order)
		}
	}
	return orders, nil
}

func (s *shop) Begun(_ context.Context, _ string, by plan.Attribution) ([]string, error) {
	var ids []string
	for _, act := range s.acted {
		if id, ours := strings.CutPrefix(act, by.Plan+" "); ours {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (s *shop) Redrive(_ context.Context, item deadletters.Item, by plan.Attribution) error {
	return s.act(item, "redriving", by)
}

func (s *shop) Discard(_ context.Context, item deadletters.Item, by plan.Attribution) error {
	return s.act(item, "discarded", by)
}

func (s *shop) Settle(_ context.Context, item deadletters.Item, _ string, by plan.Attribution) error {
	return s.act(item, "settled", by)
}

func (s *shop) Note(_ context.Context, item deadletters.Item, action string, by plan.Attribution, r plan.Result) error {
	s.notes = append(s.notes, fmt.Sprintf("%s %s %s", action, item.ID, r.Outcome))
	if by.Plan == "" {
		return errors.New("the act does not name its plan")
	}
	return nil
}

func (s *shop) SettleOutcomes(handler string) []string {
	if handler == "intent_refund" {
		return []string{"refunded"}
	}
	return nil
}

func (s *shop) Effects(context.Context, string, string, []deadletters.Letter) (map[string]deadletters.Effects, error) {
	return s.effects, nil
}

func (s *shop) Progress(_ context.Context, _ string, ids []string) (map[string]deadletters.Progress, error) {
	found := map[string]deadletters.Progress{}
	for _, l := range s.letters {
		if slices.Contains(ids, l.ID) {
			front := s.front(l)
			found[l.ID] = deadletters.Progress{State: l.State, Version: l.Version, Reason: l.Reason,
				Handled: l.State == "done", Blocked: l.State == "parked" && front.State == "waiting"}
		}
	}
	return found, nil
}

func (s *shop) Behind(_ context.Context, item deadletters.Item) ([]deadletters.Letter, error) {
	var behind []deadletters.Letter
	for _, l := range s.letters {
		if l.OrderID == item.OrderID && l.State == "parked" && l.Position > item.Position {
			behind = append(behind, l.Letter)
		}
	}
	return behind, nil
}

// handle takes one step of the services: every order's letter that was sent.
func (s *shop) handle() {
	if s.looks++; s.closed {
		return
	}
	for _, l := range s.letters {
		if l.State != "redriving" {
			continue
		}
		if s.refuses[l.ID] {
			s.move(l, "waiting")
			continue
		}
		s.move(l, "done")
		s.advance(l)
		return
	}
}

func (s *shop) desk() *deadletters.Desk {
	return deadletters.NewDesk(s, time.Now, func(_ context.Context, d time.Duration) error {
		s.handle()
		time.Sleep(d) // the test's own time
		return nil
	})
}

func (s *shop) plan(t *testing.T, action, outcome string) deadletters.Plan {
	t.Helper()
	p, err := s.desk().Plan(t.Context(), deadletters.Filter{}, "all that wait", action, outcome)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *shop) apply(t *testing.T, p deadletters.Plan) string {
	t.Helper()
	var told []string
	sum, err := s.desk().Apply(t.Context(), p, request(p), func(r plan.Result) {
		line := r.ID + " " + r.Outcome
		if r.Parked {
			line += " parked"
		}
		told = append(told, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Verified+sum.FailedAgain+sum.Skipped+sum.TimedOut != len(sum.Items) || sum.OK != (sum.Verified == len(told)) {
		t.Errorf("the sum is %+v", sum)
	}
	slices.Sort(told)
	return strings.Join(told, ", ")
}

func request(p deadletters.Plan) deadletters.Request {
	return deadletters.Request{Confirm: p.SHA256, By: plan.Attribution{Actor: "maya", Reason: "mended"}, Timeout: 10 * time.Second}
}

// each runs a case in time of its own.
func each(t *testing.T, do func(t *testing.T, s *shop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, &shop{refuses: map[string]bool{}, leases: map[string]string{}}) })
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("told was\n%s\nwant\n%s", got, want)
	}
}

func TestWhatTookEffectIsVerifiedWithWhatWasBehindIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "parked")
		s.add("a3", "a", "waiting")
		s.add("a4", "a", "parked")
		s.add("b1", "b", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		want(t, s.apply(t, p), "a1 VERIFIED, a2 VERIFIED parked, a3 VERIFIED, a4 VERIFIED parked, b1 VERIFIED")
		want(t, s.apply(t, p), "a1 VERIFIED, a3 VERIFIED, b1 VERIFIED") // again: nothing is done twice
	})
}

func TestWhatFailsAgainStopsItsOrderAndNoOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "parked")
		s.add("a3", "a", "waiting")
		s.add("b1", "b", "waiting")
		s.add("c1", "c", "waiting")
		s.add("c2", "c", "parked")
		s.add("c3", "c", "parked")
		s.refuses["a1"], s.refuses["c2"] = true, true
		p := s.plan(t, deadletters.ActRedrive, "")
		want(t, s.apply(t, p), "a1 FAILED_AGAIN, a2 SKIPPED parked, a3 SKIPPED, b1 VERIFIED, c1 VERIFIED, c2 FAILED_AGAIN parked, c3 SKIPPED parked")
		if s.find("a3").Version != 1 || s.find("a2").State != "parked" {
			t.Error("what was skipped was touched")
		}
	})
}

func TestWhatHasChangedSinceThePlanIsSkipped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("b1", "b", "waiting")
		s.add("c1", "c", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.move(s.find("a1"), "discarded")
		s.find("b1").Version += 2 // sent again by somebody else, and failed
		s.letters = s.letters[:2]
		want(t, s.apply(t, p), "a1 SKIPPED, b1 SKIPPED, c1 SKIPPED")
	})
}

func TestALetterBehindOneThatIsNotPlannedIsSkipped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		only := s.plan(t, deadletters.ActRedrive, "")
		only.Items = only.Items[1:]
		if _, err := s.desk().Apply(t.Context(), only, request(only), nil); !errors.Is(err, plan.ErrAltered) {
			t.Errorf("an altered plan was taken: %v", err)
		}
		s.find("a1").Version++
		want(t, s.apply(t, p), "a1 SKIPPED, a2 SKIPPED")
	})
}

func TestAnUnplannedLetterInBetweenStopsWhatIsBehindItAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "to come")
		s.add("a3", "a", "parked")
		s.add("a4", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.find("a2").State = "waiting"
		begin := time.Now()
		want(t, s.apply(t, p), "a1 VERIFIED, a3 SKIPPED parked, a4 SKIPPED")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestWhatIsNotHandledInTimeHasTimedOutAndIsHeardOfLater(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "parked")
		s.add("a3", "a", "waiting")
		s.closed = true
		p := s.plan(t, deadletters.ActRedrive, "")
		begin := time.Now()
		want(t, s.apply(t, p), "a1 TIMED_OUT, a2 TIMED_OUT parked, a3 SKIPPED")
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it took %s", took)
		}
		s.closed = false
		want(t, s.apply(t, p), "a1 VERIFIED, a2 VERIFIED parked, a3 VERIFIED")
	})
}

func TestDiscardAndSettleAreVerifiedAndFreeWhatIsBehind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "parked")
		p := s.plan(t, deadletters.ActDiscard, "")
		want(t, s.apply(t, p), "a1 VERIFIED, a2 VERIFIED parked")
		want(t, s.apply(t, p), "a1 VERIFIED")
		if s.find("a1").State != "discarded" {
			t.Error("it was not discarded")
		}
		s.add("ord_1:refund", "ord_1", "waiting").Handler = "intent_refund"
		p = s.plan(t, deadletters.ActSettle, "refunded")
		want(t, s.apply(t, p), "ord_1:refund VERIFIED")
		want(t, s.apply(t, p), "ord_1:refund VERIFIED")
	})
}

func TestAPlanThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		plan := func(f deadletters.Filter, action, outcome string) error {
			_, err := s.desk().Plan(t.Context(), f, "", action, outcome)
			return err
		}
		if err := plan(deadletters.Filter{}, deadletters.ActSettle, "refunded"); !errors.Is(err, deadletters.ErrUnsettled) {
			t.Errorf("a message was settled: %v", err)
		}
		if err := plan(deadletters.Filter{State: "parked"}, deadletters.ActRedrive, ""); !errors.Is(err, deadletters.ErrStateOfPlan) {
			t.Errorf("a parked message was planned for: %v", err)
		}
		if err := plan(deadletters.Filter{State: "redriving"}, deadletters.ActDiscard, ""); !errors.Is(err, deadletters.ErrStateOfPlan) {
			t.Errorf("what is under way was discarded: %v", err)
		}
	})
}

func TestNothingIsDoneWithoutConfirmationOrTooOften(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting").Redrives = 2
		s.add("b1", "b", "waiting").Redrives = 3
		p := s.plan(t, deadletters.ActRedrive, "")
		r := request(p)
		r.Confirm = ""
		if _, err := s.desk().Apply(t.Context(), p, r, nil); !errors.Is(err, plan.ErrUnconfirmed) {
			t.Errorf("without confirmation: %v", err)
		}
		if _, err := s.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, deadletters.ErrTooOften) {
			t.Errorf("after three times: %v", err)
		}
		if s.find("a1").Version != 1 {
			t.Error("something was done all the same")
		}
		r = request(p)
		r.Force = true
		if sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {}); err != nil || !sum.OK {
			t.Errorf("with force: %+v, %v", sum, err)
		}
	})
}

func TestAPlanStatesWhatCanComeOfItAndIsNotAppliedOnAConfirmationAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting").Parked = 2
		s.add("b1", "b", "waiting")
		s.add("c1", "c", "waiting")
		s.effects = map[string]deadletters.Effects{
			"a1": {Mails: 1, Captures: map[string]int64{"LKR": 2400}, Deduplicated: 1},
			"b1": {Captures: map[string]int64{"LKR": 100, "EUR": 5}, Refunds: map[string]int64{"LKR": 7}},
		}
		p := s.plan(t, deadletters.ActRedrive, "")
		got := p.Totals
		if got.Letters != 3 || got.Parked != 2 || got.Mails != 1 || got.Deduplicated != 1 || got.Captures["LKR"] != 2500 || got.Captures["EUR"] != 5 || got.Refunds["LKR"] != 7 {
			t.Errorf("the totals are %+v", got)
		}
		if p.Items[0].Effects.Captures["LKR"] != 2400 || p.Items[1].Effects.Mails != 0 || p.Items[2].Effects.Moves() {
			t.Errorf("the items are %+v", p.Items)
		}
		const words = "redrive 3 letters: 1 mails, 5 EUR and 2500 LKR charged, 7 LKR given back, 1 done already"
		if p.String() != words {
			t.Errorf("in words it is %q", p)
		}
		_, err := s.desk().Apply(t.Context(), p, request(p), nil)
		if !errors.Is(err, plan.ErrNewEffects) || s.find("a1").Version != 1 || s.find("c1").Version != 1 {
			t.Errorf("without a word for it: %v, and a1 is %+v", err, s.find("a1"))
		}
		forged := p
		forged.Totals = deadletters.Totals{Letters: 3, Effects: deadletters.NoEffects()}
		if _, err := s.desk().Apply(t.Context(), forged, request(forged), nil); !errors.Is(err, plan.ErrAltered) {
			t.Errorf("with totals of nothing: %v", err)
		}
		r := request(p)
		r.NewEffects = true
		if sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {}); err != nil || !sum.OK {
			t.Errorf("with a word for it: %+v, %v", sum, err)
		}
	})
}

func TestWhatCannotBeReadMayMoveMoney(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.effects = map[string]deadletters.Effects{"a1": {Unreadable: 1}}
		p := s.plan(t, deadletters.ActRedrive, "")
		if _, err := s.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, plan.ErrNewEffects) {
			t.Errorf("it was applied: %v", err)
		}
	})
}

func TestWhatHasComeToMoveMoneySinceThePlanIsSkipped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("b1", "b", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.effects = map[string]deadletters.Effects{"a1": {Refunds: map[string]int64{"LKR": 7}}}
		want(t, s.apply(t, p), "a1 SKIPPED, b1 VERIFIED")
		if s.find("a1").Version != 1 || len(s.leases) != 0 {
			t.Errorf("a1 is %+v, and leased are %v", s.find("a1"), s.leases)
		}
		r := request(p)
		r.NewEffects = true
		if sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {}); err != nil || !sum.OK {
			t.Errorf("with a word for it: %+v, %v", sum, err)
		}
	})
}

func TestAnOrderWhoseLeaseAnotherApplyHasIsSkippedAndNoOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "waiting")
		s.add("b1", "b", "waiting")
		s.leases["a"] = "another plan"
		p := s.plan(t, deadletters.ActRedrive, "")
		want(t, s.apply(t, p), "a1 SKIPPED, a2 SKIPPED, b1 VERIFIED")
		if s.find("a1").Version != 1 || s.leases["a"] != "another plan" || s.leases["b"] != "" {
			t.Errorf("a1 is %+v, and leased are %v", s.find("a1"), s.leases)
		}
	})
}

func TestAnOrderIsLeasedUntilAllOfItIsKnown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("a2", "a", "parked")
		s.add("a3", "a", "waiting").Consumer = "another"
		p := s.plan(t, deadletters.ActRedrive, "")
		let := 0
		desk := deadletters.NewDesk(s, time.Now, func(_ context.Context, d time.Duration) error {
			if s.leases["a"] != p.SHA256 {
				let++
			}
			s.handle()
			time.Sleep(d) // the test's own time
			return nil
		})
		sum, err := desk.Apply(t.Context(), p, request(p), func(plan.Result) {})
		if err != nil || sum.Verified != 3 || let > 0 {
			t.Errorf("it was let go %d times on the way: %+v, %v", let, sum, err)
		}
		if len(s.leases) != 0 {
			t.Errorf("leased still are %v", s.leases)
		}
		s.add("b1", "b", "waiting")
		s.closed = true
		want(t, s.apply(t, s.plan(t, deadletters.ActRedrive, "")), "b1 TIMED_OUT")
		if len(s.leases) != 0 {
			t.Errorf("what has timed out is leased still: %v", s.leases)
		}
	})
}

func TestWhatAnEarlierRunHasDoneIsHeardOfThoughAnotherHasTheOrderNow(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.closed = true
		p := s.plan(t, deadletters.ActRedrive, "")
		want(t, s.apply(t, p), "a1 TIMED_OUT")
		s.closed, s.leases["a"] = false, "another plan"
		want(t, s.apply(t, p), "a1 VERIFIED")
	})
}

func TestAStoreThatIsAwayEndsTheRunWithWhatWasKnown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.failure = fault.New(fault.Unavailable, "database_away", "the database is not reachable")
		if sum, err := s.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, s.failure) || len(sum.Items) != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

// A call can be cancelled by another end than the run's own, such as that of a connection.
func TestACallThatIsCancelledIsNotTheLettersFault(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.failure = fmt.Errorf("redrive: %w", context.Canceled)
		if sum, err := s.desk().Apply(t.Context(), p, request(p), nil); !errors.Is(err, context.Canceled) || len(sum.Items) != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
		s.failure = nil
		want(t, s.apply(t, p), "a1 VERIFIED")
	})
}

func TestWhatIsWrongWithOneLetterKeepsNoOtherFromItsAct(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("b1", "b", "waiting")
		s.broken = "a1"
		want(t, s.apply(t, s.plan(t, deadletters.ActRedrive, "")), "a1 SKIPPED, b1 VERIFIED")
		if len(s.leases) != 0 {
			t.Errorf("leased still are %v", s.leases)
		}
	})
}

// killed applies a plan whose process dies at its first look at what it has begun.
func (s *shop) killed(t *testing.T, p deadletters.Plan) {
	t.Helper()
	died := errors.New("kill -9")
	desk := deadletters.NewDesk(s, time.Now, func(context.Context, time.Duration) error { return died })
	if _, err := desk.Apply(t.Context(), p, request(p), func(plan.Result) {}); !errors.Is(err, died) {
		t.Fatal(err)
	}
}

func TestTheLeasesOfAKilledRunAreReleasedByTheNext(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		s.add("b1", "b", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.killed(t, p)
		s.handle() // one took effect meanwhile, and one is under way
		if s.leases["a"] != p.SHA256 || s.leases["b"] != p.SHA256 {
			t.Fatalf("after the kill leased are %v", s.leases)
		}
		want(t, s.apply(t, p), "a1 VERIFIED, b1 VERIFIED")
		if len(s.leases) != 0 {
			t.Errorf("leased still are %v", s.leases)
		}
		s.add("c1", "c", "waiting")
		s.add("d1", "d", "waiting")
		p = s.plan(t, deadletters.ActRedrive, "")
		s.leases["d"] = p.SHA256 // it was killed before its act on the order, and its canary stops the next
		s.refuses["c1"] = true
		r := request(p)
		r.Pace = plan.Pace{Canary: 1}
		if sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {}); err != nil || sum.Skipped != 1 || len(s.leases) != 0 {
			t.Errorf("stopped by its canary: %+v, %v, and leased still are %v", sum, err, s.leases)
		}
	})
}

func TestWhatAKilledRunHasBegunIsLeasedAgainWhenItsLeaseHasLapsed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.killed(t, p)
		clear(s.leases)
		free := 0
		desk := deadletters.NewDesk(s, time.Now, func(_ context.Context, d time.Duration) error {
			if s.leases["a"] != p.SHA256 {
				free++
			}
			s.handle()
			time.Sleep(d) // the test's own time
			return nil
		})
		if sum, err := desk.Apply(t.Context(), p, request(p), func(plan.Result) {}); err != nil || !sum.OK || free != 0 || len(s.leases) != 0 {
			t.Errorf("%+v, %v; it was free at %d looks, and leased still are %v", sum, err, free, s.leases)
		}
	})
}

func TestWhatFailedAgainAfterAKillIsHeardOfAndCounts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for _, id := range []string{"a", "b"} {
			s.add(id+"1", id, "waiting")
		}
		s.refuses["a1"] = true
		p := s.plan(t, deadletters.ActRedrive, "")
		r := request(p)
		r.Pace = plan.Pace{Canary: 1}
		died := errors.New("kill -9")
		desk := deadletters.NewDesk(s, time.Now, func(context.Context, time.Duration) error { return died })
		if _, err := desk.Apply(t.Context(), p, r, func(plan.Result) {}); !errors.Is(err, died) {
			t.Fatal(err)
		}
		s.handle()
		sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {})
		if err != nil || sum.FailedAgain != 1 || sum.Skipped != 1 || s.find("b1").Version != 1 {
			t.Errorf("its canary has failed, and it is %+v, %v", sum, err)
		}
		want(t, strings.Join(s.notes, ", "), "redrive a1 FAILED_AGAIN")
		if a := s.find("a1"); a.Redrives != 1 || a.Version != 3 {
			t.Errorf("it was sent twice: %+v", a)
		}
	})
}

func TestAStoreThatIsBusyIsWaitedFor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		s.failure = fault.New(fault.Unavailable, "database_busy", "the database did not give a lock in time")
		s.mended = time.Now().Add(2 * time.Second)
		want(t, s.apply(t, p), "a1 VERIFIED")
	})
}

func TestAPlanIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.add("a1", "a", "waiting")
		p := s.plan(t, deadletters.ActRedrive, "")
		text := fmt.Sprintf(`{"kind":%q,"action":"redrive","filter":"all that wait","madeAt":%q,"totals":{"letters":1,"parked":0,"deduplicated":0,"unreadable":0,"mails":0,"captures":{},"refunds":{}},"items":[{"id":"a1","version":1,"service":"inventory-service",`+
			`"consumer":"c","handler":"reserve_stock","orderId":"a","type":"","reason":"broken","redrives":0,"position":1,"parked":0,`+
			`"stakes":{"deduplicated":0,"unreadable":0,"mails":0,"captures":{},"refunds":{}}}],"sha256":%q}`,
			deadletters.PlanKind, p.MadeAt.Format(time.RFC3339), p.SHA256)
		if got, err := deadletters.ReadPlan([]byte(text)); err != nil || len(got.Items) != 1 || got.SHA256 != p.SHA256 {
			t.Errorf("read: %+v, %v", got, err)
		}
		for _, altered := range []string{
			strings.Replace(text, `"redrive"`, `"discard"`, 1), strings.Replace(text, `"version":1`, `"version":2`, 1), strings.Replace(text, `"mails":0`, `"mails":1`, 1),
			text[:len(text)/2], text + text, "", "[]", strings.Replace(text, `"kind"`, `"more":1,"kind"`, 1),
		} {
			if _, err := deadletters.ReadPlan([]byte(altered)); !errors.Is(err, plan.ErrAltered) {
				t.Errorf("%s was read: %v", altered, err)
			}
		}
	})
}

func TestLettersAreCountedByWhatIsAlike(t *testing.T) {
	t.Parallel()
	s := &shop{}
	s.add("a1", "a", "waiting").Parked = 2
	s.add("b1", "b", "waiting").FirstAt = time.Unix(50, 0)
	s.add("c1", "c", "waiting").Reason = "other"
	all, err := s.List(t.Context(), deadletters.Filter{State: "waiting"})
	if err != nil {
		t.Fatal(err)
	}
	groups := deadletters.Groups(all)
	if len(groups) != 2 || groups[0].Count != 2 || groups[0].Parked != 2 || groups[0].Oldest.Unix() != 50 || groups[1].Reason != "other" {
		t.Errorf("%+v", groups)
	}
}

func TestAPlanIsAppliedAtItsPaceAndStopsWithItsCanary(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for _, id := range []string{"a", "b", "c"} {
			s.add(id+"1", id, "waiting")
		}
		s.refuses["a1"] = true
		p := s.plan(t, deadletters.ActRedrive, "")
		r := request(p)
		r.Pace = plan.Pace{Canary: 1}
		sum, err := s.desk().Apply(t.Context(), p, r, func(plan.Result) {})
		if err != nil || sum.FailedAgain != 1 || sum.Skipped != 2 || s.find("b1").Version != 1 {
			t.Errorf("behind a canary that failed: %+v, %v", sum, err)
		}
		want(t, strings.Join(s.notes, ", "), "redrive a1 FAILED_AGAIN")
	})
}
