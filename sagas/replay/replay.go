package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"

	"millrace/app/messages"
	saga "millrace/sagas/order"
)

// Decide is a definition of the saga: the production function, or one that a test has broken.
type Decide func(saga.State, saga.Input) saga.Decision

// Definitions are the versions that this build has code for.
func Definitions() map[int]Decide {
	all := map[int]Decide{}
	for _, v := range saga.Versions() {
		d, _ := saga.Of(v)
		all[v] = d.Decide
	}
	return all
}

// Recorded and Current choose a definition by its part in the history; any other is a number.
const (
	Recorded = 0  // the one that every entry was decided by: what this build does for a saga that is under way
	Current  = -1 // this build's newest: what it does for a saga that begins now
)

// Match says what must be equal.
type Match string

// The matches, the strictest first.
const (
	Strict   Match = "strict"   // everything that an entry holds
	Commands Match = "commands" // what is sent, and how the order ends
	Terminal Match = "terminal" // how the order ends
)

// Options say how histories are replayed. The zero value compares strictly, each saga by the
// version that it has, as this build would go on with it.
type Options struct {
	Definitions map[int]Decide // nil for Definitions
	Definition  int            // Recorded, Current or a version
	Match       Match
	Ignore      []string // JSON pointers into an entry, such as /after/reason or /sent/*/data/reason
	Decisions   bool     // whether results hold every decision
	Sample      float64  // share of the histories that is replayed, chosen by order id; 0 for all
	Parallel    int      // how many at once; 0 for one
}

// Made is a decision in the terms of an entry.
type Made struct {
	Seq     int             `json:"seq"`
	On      string          `json:"on"`
	Outcome string          `json:"outcome"`
	After   json.RawMessage `json:"after"`
	Sent    []Sent          `json:"sent"`
	Timers  Timers          `json:"timers"`
}

// Replay decides one history again and compares. Attempts that failed are passed over: they have
// no effect. It never changes h.
func Replay(h History, o Options) Result {
	o.Definitions = o.definitions() // once, and not for every entry
	r := Result{OrderID: h.Saga.OrderID, Verdict: OK, Entries: len(h.Entries), Divergences: []Divergence{}, Definition: o.version(h.Saga.Definition)}
	if err := Whole(h); err != nil {
		return r.unreplayable(Divergence{Seq: damagedAt(err), Class: MissingHistory, Detail: err.Error()})
	}
	state, err := h.start()
	if err != nil {
		return r.unreplayable(Divergence{Seq: h.Entries[0].Seq, On: h.Entries[0].Type, Class: UnknownHistory, Path: "/before", Detail: err.Error()})
	}
	last := lastEffect(h.Entries)
	for i, e := range h.Entries {
		if e.Outcome == Failed {
			continue
		}
		decide, ok := o.decider(e.Definition)
		if !ok {
			return r.unreplayable(Divergence{Seq: e.Seq, On: e.Type, Class: NoDefinition, Path: "/definition",
				Detail: fmt.Sprintf("this build has no code for version %d", o.version(e.Definition))})
		}
		in, err := input(e, o.Ignore)
		if err != nil {
			return r.unreplayable(Divergence{Seq: e.Seq, On: e.Type, Class: UnknownHistory, Path: "/payload", Detail: err.Error()})
		}
		d, odd := twice(decide, state, in)
		if odd != nil {
			odd.Seq, odd.On = e.Seq, e.Type
			return r.diverged([]Divergence{*odd})
		}
		m, err := made(e, d)
		if err != nil {
			return r.unreplayable(Divergence{Seq: e.Seq, On: e.Type, Class: UnknownHistory, Path: "/sent", Detail: err.Error()})
		}
		if o.Decisions {
			r.Decisions = append(r.Decisions, m)
		}
		if found := compare(e, m, o, i == last); len(found) > 0 {
			if r = r.diverged(found); !o.Decisions {
				return r
			}
			o.Match, o.Ignore = Strict, []string{""} // the rest is decided for its own sake
		}
		state = d.State
	}
	return r
}

// lastEffect is where the last entry stands that is no failed attempt.
func lastEffect(entries []Entry) int {
	last := -1
	for i, e := range entries {
		if e.Outcome != Failed {
			last = i
		}
	}
	return last
}

func (o Options) version(recorded int) int {
	switch o.Definition {
	case Recorded:
		return recorded
	case Current:
		newest := 0
		for v := range o.definitions() {
			newest = max(newest, v)
		}
		return newest
	default:
		return o.Definition
	}
}

func (o Options) definitions() map[int]Decide {
	if o.Definitions == nil {
		return Definitions()
	}
	return o.Definitions
}

func (o Options) decider(recorded int) (Decide, bool) {
	d, ok := o.definitions()[o.version(recorded)]
	return d, ok
}

func (r Result) unreplayable(d Divergence) Result {
	if r.Verdict == Diverged {
		return r
	}
	d.Severity = Unknown
	r.Verdict, r.Divergences = Unreplayable, []Divergence{d}
	return r
}

func (r Result) diverged(found []Divergence) Result {
	if r.Verdict == Diverged {
		return r
	}
	worstFirst(found)
	r.Verdict, r.Divergences = Diverged, found
	return r
}

func damagedAt(err error) int {
	if d, ok := err.(*Damage); ok { //nolint:errorlint // Whole gives nothing else, and never wraps it
		return d.Seq
	}
	return 0
}

// input reads what reached the saga. A member of the payload that today's message would lose is
// an error: a decision made without it proves nothing.
func input(e Entry, ignore []string) (saga.Input, error) {
	m, err := message(e)
	if err != nil {
		return saga.Input{}, err
	}
	if m.Order() != e.OrderID {
		return saga.Input{}, fmt.Errorf("the message is of the order %q", m.Order())
	}
	again, err := json.Marshal(m)
	if err != nil {
		return saga.Input{}, fmt.Errorf("encode %s: %w", e.Type, err)
	}
	if !bytes.Equal(again, e.Payload) {
		for _, d := range differences("/payload", decode(e.Payload), decode(again)) {
			if d.a != nil && !under(d.path, ignore) {
				return saga.Input{}, fmt.Errorf("today's %s does not keep %s", e.Type, d.path)
			}
		}
	}
	return saga.Input{ID: e.MessageID, Message: m}, nil
}

func message(e Entry) (messages.Message, error) {
	if _, known := messages.SpecOf(e.Type); known {
		return messages.Envelope{Type: e.Type, Data: e.Payload}.Message()
	}
	if e.Topic == "" && saga.IsAct(e.Type) {
		var o saga.Operated
		if err := json.Unmarshal(e.Payload, &o); err != nil {
			return nil, fmt.Errorf("the operator's act cannot be read: %w", err)
		}
		if o.Name() != e.Type {
			return nil, fmt.Errorf("the act %q of today is %s, not %s", o.Act, o.Name(), e.Type)
		}
		return o, nil
	}
	var t saga.TimedOut
	if e.Topic != "" || !strings.HasSuffix(e.Type, "TimedOut") {
		return nil, fmt.Errorf("this build knows no message %q", e.Type)
	}
	if err := json.Unmarshal(e.Payload, &t); err != nil {
		return nil, fmt.Errorf("the timer cannot be read: %w", err)
	}
	if t.Name() != e.Type {
		return nil, fmt.Errorf("the timer %q of today is %s, not %s", t.Timer.Name, t.Name(), e.Type)
	}
	return t, nil
}

// twice decides two times. A function of state and input alone gives the same answer.
func twice(decide Decide, s saga.State, in saga.Input) (saga.Decision, *Divergence) {
	first, crash := safely(decide, s, in)
	if crash != nil {
		return first, crash
	}
	second, crash := safely(decide, s, in)
	if crash != nil {
		return first, crash
	}
	if reflect.DeepEqual(first, second) {
		return first, nil
	}
	odd := &Divergence{Class: NotDeterministic, Severity: Money, Path: "", Detail: "the same input gave two decisions: the first stands as recorded, the second as replayed"}
	odd.Recorded, odd.Replayed = text(plain(first)), text(plain(second))
	for _, d := range differences("", decode(odd.Recorded), decode(odd.Replayed)) {
		odd.Path, odd.Recorded, odd.Replayed = d.path, d.a, d.b
		break
	}
	return first, odd
}

// plain is a decision for people.
func plain(d saga.Decision) map[string]any {
	return map[string]any{
		"outcome": d.Verdict.String(), "after": d.State, "sent": d.Send,
		"timers": Timers{d.SetTimers, d.ClearTimers}, "timeline": d.Timeline,
	}
}

// safely decides; a panic is an answer too.
func safely(decide Decide, s saga.State, in saga.Input) (d saga.Decision, crash *Divergence) {
	defer func() {
		if p := recover(); p != nil {
			crash = &Divergence{Class: Panicked, Severity: Customer, Path: "", Detail: fmt.Sprintf("%v, %s", p, where(debug.Stack()))}
		}
	}()
	if _, act := in.Message.(saga.Operated); act {
		if d, err := saga.Operate(decide, s, in); err == nil {
			return d, nil
		}
		return saga.Decision{State: s, Verdict: saga.Absorbed}, nil // an act that is refused has no entry: it differs from one that was done
	}
	return decide(s, in), nil
}

// where is the line of the stack that stands behind the panic.
func where(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") && i+3 < len(lines) {
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+3]), " ")
			return place
		}
	}
	return "at a place that is not known"
}

// made gives a decision as the engine would have journalled it.
func made(e Entry, d saga.Decision) (Made, error) {
	after, err := json.Marshal(d.State)
	if err != nil {
		return Made{}, fmt.Errorf("encode the saga's state: %w", err)
	}
	m := Made{Seq: e.Seq, On: e.Type, Outcome: d.Verdict.String(), After: after, Sent: make([]Sent, len(d.Send)), Timers: Timers{d.SetTimers, d.ClearTimers}}
	for n, out := range d.Send {
		data, err := json.Marshal(out)
		if err != nil {
			return Made{}, fmt.Errorf("encode %s: %w", out.Name(), err)
		}
		spec, _ := messages.SpecOf(out.Name())
		m.Sent[n] = Sent{ID: messages.DerivedID(e.MessageID, out.Name(), n), Type: out.Name(), Topic: spec.Topic, Data: data}
	}
	return m, nil
}
