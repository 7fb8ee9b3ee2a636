package order

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"millrace/app/messages"
)

// at is a saga in a step, as it may stand there.
func at(step Step) State {
	s := Start()
	s.Step, s.Entry, s.UserID, s.Currency, s.Total = step, 3, "usr_1", "LKR", 500
	if step == UndoingInventory || step == UndoingPayment || step == Failed {
		s.Reason = messages.ReasonPaymentTimeout
	}
	return s
}

// The table of Operate's comment: what is not in it is refused.
func TestAnActDoesWhatItsTableSaysAndIsRefusedElsewhere(t *testing.T) {
	t.Parallel()
	type row struct {
		act  Act
		at   Step
		to   Step
		send []string
	}
	allowed := []row{
		{Redrive, New, New, nil},
		{Redrive, AwaitingPayment, AwaitingPayment, nil},
		{Redrive, AwaitingInventory, AwaitingInventory, nil},
		{Redrive, UndoingInventory, UndoingInventory, nil},
		{Redrive, UndoingPayment, UndoingPayment, nil},
		{Resume, AwaitingPayment, AwaitingPayment, nil},
		{Resume, AwaitingInventory, AwaitingInventory, nil},
		{FireTimer, AwaitingPayment, UndoingInventory, []string{releaseInventory}},
		{FireTimer, AwaitingInventory, UndoingInventory, []string{releaseInventory}},
		{SkipStep, AwaitingPayment, AwaitingInventory, nil},
		{SkipStep, AwaitingInventory, Confirmed, []string{orderCompleted}},
		{SkipStep, UndoingInventory, UndoingPayment, []string{refundPayment}},
		{SkipStep, UndoingPayment, Failed, []string{orderCompleted}},
		{RetryStep, UndoingInventory, UndoingInventory, []string{releaseInventory}},
		{RetryStep, UndoingPayment, UndoingPayment, []string{refundPayment}},
		{ToVersion, AwaitingPayment, AwaitingPayment, nil},
		{ToVersion, AwaitingInventory, AwaitingInventory, nil},
		{ToVersion, UndoingInventory, UndoingInventory, nil},
		{ToVersion, UndoingPayment, UndoingPayment, nil},
		{ToVersion, New, New, nil},
		{Compensate, New, New, nil},
		{Compensate, AwaitingPayment, UndoingInventory, []string{releaseInventory}},
		{Compensate, AwaitingInventory, UndoingInventory, []string{releaseInventory}},
	}
	first, _ := Of(1)
	for _, act := range Acts {
		for _, step := range Steps {
			told := Operated{OrderID: orderID, Act: act, Actor: "maya", Why: "to see", Again: []string{"id"}, From: 1, To: 2}
			if answers := Awaited(step); step != New && len(answers) > 0 {
				told.Found = answers[1]
			}
			before := at(step)
			d, err := Operate(first.Decide, before, Input{ID: "act", Message: told})
			i := slices.IndexFunc(allowed, func(r row) bool { return r.act == act && r.at == step })
			if i < 0 {
				if !errors.Is(err, ErrRefused) {
					t.Errorf("%s in %s was not refused: %v", act, step, err)
				}
				continue
			}
			if r := allowed[i]; err != nil || d.State.Step != r.to || !slices.Equal(namesOf(d.Send), r.send) {
				t.Errorf("%s in %s leads to %s and sends %v: %v", act, step, d.State.Step, namesOf(d.Send), err)
			}
			if same, _ := Operate(first.Decide, before, Input{ID: "act", Message: &told}); !reflect.DeepEqual(d, same) {
				t.Errorf("%s in %s is decided in two ways", act, step)
			}
		}
	}
}

func TestAStepIsEnteredAnewWithATimeOutOfItsOwn(t *testing.T) {
	t.Parallel()
	before := at(AwaitingPayment)
	d, err := Operate(Decide, before, says(Operated{OrderID: orderID, Act: Resume}))
	if err != nil || d.State.Entry != 4 || !slices.Equal(d.ClearTimers, []Timer{{PaymentTimer, 3}}) || !slices.Equal(d.SetTimers, []Timer{{PaymentTimer, 4}}) {
		t.Errorf("%+v, %v", d, err)
	}
	if old := Decide(d.State, says(TimedOut{orderID, Timer{PaymentTimer, 3}})); old.Verdict != Absorbed {
		t.Errorf("the time-out of before was %s", old.Verdict)
	}
}

// An act is decided by the saga's own version: the second lets inventory's first time-out pass.
func TestATimeOutThatIsFiredIsThatOfTheSagasVersion(t *testing.T) {
	t.Parallel()
	for version, to := range map[int]Step{1: UndoingInventory, 2: AwaitingInventory} {
		def, _ := Of(version)
		if d, err := Operate(def.Decide, at(AwaitingInventory), says(Operated{OrderID: orderID, Act: FireTimer})); err != nil || d.State.Step != to {
			t.Errorf("version %d: %s, %v", version, d.State.Step, err)
		}
	}
}

func TestNothingIsMigratedToWhatItIsOrWhatIsNot(t *testing.T) {
	t.Parallel()
	for _, to := range []int{1, Version + 1} {
		if _, err := Operate(Decide, at(AwaitingInventory), says(Operated{OrderID: orderID, Act: ToVersion, From: 1, To: to})); !errors.Is(err, ErrRefused) {
			t.Errorf("to version %d: %v", to, err)
		}
	}
}

func TestNothingIsSkippedOnAnotherStepsAnswer(t *testing.T) {
	t.Parallel()
	for _, step := range Steps {
		for _, spec := range messages.Catalogue {
			_, err := Operate(Decide, at(step), says(Operated{OrderID: orderID, Act: SkipStep, Found: spec.Name}))
			awaited := Awaited(step)
			if fits := len(awaited) > 1 && slices.Contains(awaited[1:], spec.Name); fits != (err == nil) {
				t.Errorf("%s in %s: %v", spec.Name, step, err)
			}
		}
	}
}

// wrongAct is an Operate with a mistake in it, and the promise that it breaks.
type wrongAct struct {
	name    string
	operate func(func(State, Input) Decision, State, Input) (Decision, error)
	caught  string
}

// instead is Operate with one act done in another way.
func instead(act Act, do func(s State, in Input) (Decision, error)) func(func(State, Input) Decision, State, Input) (Decision, error) {
	return func(decide func(State, Input) Decision, s State, in Input) (Decision, error) {
		if told, _ := operated(in.Message); told.Act == act {
			return do(s, in)
		}
		return Operate(decide, s, in)
	}
}

// isCaught searches worlds in turn, in which sagas begin with a version, or with none of their own (0), until the
// mistake is found.
func (w wrongAct) isCaught(t *testing.T, worlds []namedWorld, begins uint8) {
	t.Helper()
	for _, s := range worlds {
		m := s.model
		if m.decide, m.operate, m.begins = Decide, w.operate, begins; m.acts == 0 {
			continue
		}
		r := m.search()
		if r.broken == noPromise {
			continue
		}
		if r.broken != w.caught {
			t.Errorf("caught in %q by %q, want %q%s", s.name, r.broken, w.caught, r.story())
		}
		fmt.Printf("wrong act: %s: breaks %q in %d moves (%s)\n", w.name, r.broken, len(r.trace), s.name)
		return
	}
	t.Error("not caught")
}

// Wrong acts, each a short cut that somebody might take in good faith. The search must find every one.
func TestTheSearchCatchesEveryWrongAct(t *testing.T) {
	t.Parallel()
	for _, w := range []wrongAct{
		{"what is sent again counts as answered", instead(Redrive, func(s State, _ Input) (Decision, error) {
			if answers := Awaited(s.Step); len(answers) > 1 {
				return Decide(s, says(found{answers[1], orderID})), nil
			}
			return Decision{State: s, Verdict: Applied}, nil
		}), endAfterUndo},
		{"a step that is set off again is entered again, and keeps its timer", instead(Redrive, func(s State, in Input) (Decision, error) {
			d, err := Operate(Decide, s, in)
			d.State.Entry++
			return d, err
		}), timersFitSteps},
		{"a step is skipped on the operator's word", instead(SkipStep, func(s State, _ Input) (Decision, error) {
			if answers := Awaited(s.Step); len(answers) > 1 {
				return Decide(s, says(found{answers[1], orderID})), nil
			}
			return Decision{}, ErrRefused
		}), endAfterUndo},
		{"a confirmed order is compensated", instead(Compensate, func(s State, _ Input) (Decision, error) {
			return cancelConfirmed(s, says(&messages.OrderCancelRequested{OrderID: orderID})), nil
		}), endAbsorbs},
		{"a step is entered anew without a time-out", instead(Resume, func(s State, in Input) (Decision, error) {
			d, err := Operate(Decide, s, in)
			d.SetTimers = nil
			return d, err
		}), timersFitSteps},
		{"the money is asked for again before the goods are free", instead(RetryStep, func(s State, in Input) (Decision, error) {
			d, err := Operate(Decide, s, in)
			if s.Step == UndoingInventory {
				d.Send = []messages.Message{&messages.RefundPayment{OrderID: orderID}}
			}
			return d, err
		}), goodsNeedMoney},
		{"a time-out is an end", instead(FireTimer, func(s State, in Input) (Decision, error) {
			d, err := Operate(Decide, s, in)
			if err == nil {
				d.State.Step, d.State.Status = Failed, d.State.Outcome()
			}
			return d, err
		}), endAfterUndo},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.isCaught(t, worldsToSearch, 0)
		})
	}
}

// The same of migrations, which the search with versions must find.
func TestTheSearchCatchesEveryWrongMigration(t *testing.T) {
	t.Parallel()
	migrated := func(s State, err error) (Decision, error) { return Decision{State: s, Verdict: Applied}, err }
	for _, w := range []wrongAct{
		{"the version that it comes from is taken for the one that it goes to", instead(ToVersion, func(s State, in Input) (Decision, error) {
			told, _ := operated(in.Message)
			return migrated(Migrate(s, told.To, told.From))
		}), migratedFits},
		{"the step is entered anew, and keeps its timer", instead(ToVersion, func(s State, in Input) (Decision, error) {
			d, err := Operate(Decide, s, in)
			d.State.Entry++
			return d, err
		}), migratedKeeps},
		{"what is being undone stays with its version", instead(ToVersion, func(s State, in Input) (Decision, error) {
			if s.Step == UndoingInventory || s.Step == UndoingPayment {
				return Decision{}, ErrRefused
			}
			return Operate(Decide, s, in)
		}), openMigrates},
		{"it goes on from the start", instead(ToVersion, func(State, Input) (Decision, error) { return migrated(Start(), nil) }), statusMoves},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.isCaught(t, operatedWorlds, Version)
		})
	}
}

func TestActsAreReadByTheirNames(t *testing.T) {
	t.Parallel()
	for _, act := range Acts {
		var read Act
		if err := read.UnmarshalText([]byte(act.String())); err != nil || read != act || !IsAct(Operated{Act: act}.Name()) {
			t.Errorf("%s is read as %s, %v", act, read, err)
		}
	}
	if _, err := ParseAct("undo"); err == nil || IsAct(orderCreated) {
		t.Error("what is no act was taken for one")
	}
}
