package order

import (
	"fmt"
	"slices"

	"millrace/app/messages"
	"millrace/domain/fault"
)

// Act is what an operator can tell a saga to do. The set is closed: outside this package an Act is
// one of the variables below or comes from ParseAct.
type Act struct{ name string }

// The acts. What each does in which step is in the comment of Operate.
var (
	Redrive    = Act{"redrive"}
	Resume     = Act{"resume"}
	Compensate = Act{"compensate"}
	RetryStep  = Act{"retry-step"}
	SkipStep   = Act{"skip-step"}
	FireTimer  = Act{"fire-timer"}
	ToVersion  = Act{"migrate"}
)

// Acts lists every act, the most harmless first.
var Acts = []Act{Redrive, Resume, ToVersion, FireTimer, SkipStep, RetryStep, Compensate}

// actMessages are the names under which acts stand in journals.
var actMessages = map[Act]string{
	Redrive: "OperatorRedrive", Resume: "OperatorResume", Compensate: "OperatorCompensate",
	RetryStep: "OperatorRetryStep", SkipStep: "OperatorSkipStep", FireTimer: "OperatorFireTimer",
	ToVersion: "OperatorMigrate",
}

// String gives the name that is stored and typed.
func (a Act) String() string { return a.name }

// ParseAct takes a name as String gives it.
func ParseAct(name string) (Act, error) {
	if i := slices.Index(Acts, Act{name}); i >= 0 {
		return Acts[i], nil
	}
	return Act{}, fmt.Errorf("unknown act %q", name)
}

// MarshalText makes an act its name in JSON.
func (a Act) MarshalText() ([]byte, error) { return []byte(a.name), nil }

// UnmarshalText fails for a name that is no act.
func (a *Act) UnmarshalText(text []byte) error {
	parsed, err := ParseAct(string(text))
	if err == nil {
		*a = parsed
	}
	return err
}

// Operated is what an operator tells one saga. Like a TimedOut it is on no topic: the engine gives it
// to Operate, and the journal shows it.
type Operated struct {
	OrderID string   `json:"orderId"`
	Act     Act      `json:"act"`
	Actor   string   `json:"actor"`
	Why     string   `json:"why"`
	Found   string   `json:"found,omitempty"` // of SkipStep: the answer that stands in the participant's own books, by its name
	Again   []string `json:"again,omitempty"` // of Redrive: ids of the messages that are sent again as they are
	From    int      `json:"from,omitempty"`  // of ToVersion: the version that the saga has
	To      int      `json:"to,omitempty"`    // of ToVersion: the version that it is to have
}

// Name is OperatorRedrive and so on.
func (m Operated) Name() string { return actMessages[m.Act] }

// Order is the id of the order whose saga it was told.
func (m Operated) Order() string { return m.OrderID }

// IsAct says whether a journal's entry of that type is an operator's.
func IsAct(name string) bool {
	for _, n := range actMessages {
		if n == name {
			return true
		}
	}
	return false
}

// ErrRefused: the act would lose money, stock or an order where the saga is, or has no meaning there.
var ErrRefused = fault.New(fault.Conflict, "act_refused", "the act is refused")

// Operate says what follows from an operator's act, by the definition that the saga began with. It is
// a pure function like Decide, and what it gives is carried out like any other decision:
//
//	act         at                               does
//	redrive     any step but an end              nothing: messages that were sent before are sent again, under their own ids
//	resume      awaiting_*                       the step is entered anew, with the whole of its time-out
//	migrate     any step but an end              another version decides from here on; see Migrate
//	fire-timer  awaiting_*                       the time-out of the step, now
//	skip-step   any step but new and an end      takes the answer that the participant's own books give
//	retry-step  undoing_*                        the step's command again, under a new id
//	compensate  new, awaiting_*                  a cancel in the customer's name
//
// It fails with ErrRefused everywhere else. Nothing is made up: a step is skipped only on the
// participant's own word, and an undo is never cut short, so that whatever an operator does, and
// whenever, no money and no stock is lost. The model check tries all of it.
func Operate(decide func(State, Input) Decision, s State, in Input) (Decision, error) {
	m, ok := operated(in.Message)
	if !ok {
		return Decision{}, refused("it is no act")
	}
	if s.Step.Terminal() {
		return Decision{}, refused("the saga has ended: it is %s", s.Step)
	}
	told := func(m messages.Message) Decision { return decide(s, Input{ID: in.ID, Message: m}) }
	timer, waits := s.timer()
	switch m.Act {
	case Redrive:
		if len(m.Again) == 0 {
			return Decision{}, refused("no message that it waits for is in an outbox any more")
		}
		return Decision{State: s, Verdict: Applied}, nil

	case Resume:
		if !waits {
			return Decision{}, refused("%s has no time-out: redrive it", s.Step)
		}
		t := turn{Decision: Decision{State: s, Verdict: Applied}, order: m.OrderID}
		t.enter(s.Step)
		t.setTimer()
		return t.Decision, nil

	case ToVersion:
		if m.From == m.To {
			return Decision{}, refused("it has version %d already", m.To)
		}
		migrated, err := Migrate(s, m.From, m.To)
		if err != nil {
			return Decision{}, ErrRefused.Because(err)
		}
		return Decision{State: migrated, Verdict: Applied}, nil

	case FireTimer:
		if !waits {
			return Decision{}, refused("%s has no time-out", s.Step)
		}
		return told(TimedOut{OrderID: m.OrderID, Timer: timer}), nil

	case SkipStep:
		answer := answerOf(s.Step, m)
		if answer == nil {
			return Decision{}, refused("the books of the participant do not say that %s is over", s.Step)
		}
		return told(answer), nil

	case RetryStep:
		t := turn{Decision: Decision{State: s, Verdict: Applied}, order: m.OrderID}
		switch s.Step {
		case UndoingInventory:
			t.Send = append(t.Send, &messages.ReleaseInventory{OrderID: t.order, Reason: s.Reason})
		case UndoingPayment:
			t.Send = append(t.Send, &messages.RefundPayment{OrderID: t.order, Reason: s.Reason})
		default:
			return Decision{}, refused("nothing was commanded in %s: redrive it", s.Step)
		}
		return t.Decision, nil

	case Compensate:
		d := told(&messages.OrderCancelRequested{OrderID: m.OrderID, UserID: s.UserID, Reason: messages.ReasonCancelledByUser})
		if d.Verdict == Absorbed {
			return Decision{}, refused("%s is an undo already, or a cancel waits", s.Step)
		}
		return d, nil
	}
	return Decision{}, refused("there is no act %q", m.Act)
}

func refused(format string, args ...any) error {
	return ErrRefused.Because(fmt.Errorf(format, args...))
}

func operated(m messages.Message) (Operated, bool) {
	switch m := m.(type) {
	case Operated:
		return m, true
	case *Operated:
		return *m, m != nil
	}
	return Operated{}, false
}

// Awaited is what a step waits for: the message that set it off, and those that may answer. A redrive
// sends again what there is of them.
func Awaited(s Step) []string {
	switch s {
	case New:
		return []string{orderCreated}
	case AwaitingPayment:
		return []string{orderCreated, paymentSucceeded, paymentFailed}
	case AwaitingInventory:
		return []string{paymentSucceeded, inventoryReserved, inventoryFailed}
	case UndoingInventory:
		return []string{releaseInventory, inventoryReleased}
	case UndoingPayment:
		return []string{refundPayment, paymentRefunded}
	}
	return nil
}

// answerOf is the answer that was found, if it is one to the step. Of an answer the saga needs no more
// than its name.
func answerOf(s Step, m Operated) messages.Message {
	if s == New || !slices.Contains(Awaited(s)[1:], m.Found) {
		return nil
	}
	spec, _ := messages.SpecOf(m.Found)
	return found{name: spec.Name, order: m.OrderID}
}

// found is an answer that was read in a participant's books instead of being heard.
type found struct{ name, order string }

func (f found) Name() string  { return f.name }
func (f found) Order() string { return f.order }
