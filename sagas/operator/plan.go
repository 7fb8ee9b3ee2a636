package operator

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/money"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// PlanKind names the format of a plan. One of an earlier format is not read: the first called all that is
// sent again deduplicated, what has yet to take effect too.
const PlanKind = "millrace saga plan 2"

// What a message does that an act sends.
const (
	Deduplicated = "deduplicated" // it has the id that it always had, and is in the inbox of all who receive it: it comes to nothing
	Late         = "late"         // it has the id that it always had, and has not come to all: it takes effect there now, once
	NewEffect    = "new"          // it has an id that nobody knows
)

// Plan is what is to be done, and to which sagas as they were when it was made.
type Plan struct {
	Kind    string    `json:"kind"`
	Action  saga.Act  `json:"action"`
	Version int       `json:"version,omitempty"` // of a migration: that of the definition to which
	Query   string    `json:"query"`             // the words that chose the sagas
	MadeAt  time.Time `json:"madeAt"`
	Totals  Totals    `json:"totals"`
	Items   []Item    `json:"items"`
	Refused []Refusal `json:"refused"` // chosen, and not to be acted on
	SHA256  string    `json:"sha256"`  // of everything above
}

// Totals sums the items up.
type Totals struct {
	Orders       int              `json:"orders"`
	Deduplicated int              `json:"deduplicated"`      // messages that are sent again and come to nothing
	Handled      int              `json:"handled,omitempty"` // of those, which all who receive them have handled: none is a dead letter
	Late         int              `json:"late"`              // messages that are sent again and take effect where they never came
	New          int              `json:"new"`               // messages with new ids
	Captures     map[string]int64 `json:"captures"`          // minor units that may be charged because of it, by currency
	Money        map[string]int64 `json:"money"`             // minor units that may be given back because of it, by currency
	Mails        int              `json:"mails"`             // mails of the acts themselves; what goes on because of an answer may mail as it always does
}

// Item is one saga of a plan. Version pins it: when it has moved the item is skipped.
type Item struct {
	OrderID  string    `json:"orderId"`
	Version  int       `json:"version"`
	From     int       `json:"from,omitempty"` // of a migration: the definition's version now
	State    saga.Step `json:"state"`
	Entry    int       `json:"entry"` // of the step
	Total    int64     `json:"total"` // minor units
	Currency string    `json:"currency"`
	ActID    string    `json:"actId"`
	To       saga.Step `json:"to"`                 // where the act itself brings it
	Found    string    `json:"found,omitempty"`    // answer of the participant's books that a step is skipped on
	Timeouts []Timeout `json:"timeouts,omitempty"` // that are set by the act
	Sends    []Send    `json:"sends"`
	Mails    int       `json:"mails"`
	Capture  int64     `json:"capture"` // that may be charged because of it
	Money    int64     `json:"money"`   // that may be given back because of it
}

// Send is a message that an act sends.
type Send struct {
	engine.Again

	Effect    string    `json:"effect"`
	Receivers []Receipt `json:"receivers,omitempty"` // of one that is sent again: what their inboxes say of it
}

// Refusal is a saga that the query chose and that the act is not for.
type Refusal struct {
	OrderID string    `json:"orderId"`
	State   saga.Step `json:"state,omitzero"` // none, where nobody knows it
	Why     string    `json:"why"`
}

// Chosen is a saga that the query chose, as it was then.
type Chosen struct {
	OrderID string
	Version int // moves with every change; 0 before its first message
}

// moved is why a saga is refused that the query may not choose any more.
const moved = "it moved while the plan was made: plan again"

// errUnreadable: what is stored of the saga is no state that this build knows.
var errUnreadable = fault.New(fault.Conflict, "saga_unreadable", "the saga cannot be read")

// Plan says what an act would do to the sagas that were chosen. It changes nothing. A saga that has moved
// since it was chosen is refused: nobody knows whether the query still holds for it. Version is that
// of the definition to which a migration leads, and 0 otherwise; words are those that chose the sagas,
// for people.
func (d *Desk) Plan(ctx context.Context, act saga.Act, version int, words string, chosen []Chosen) (Plan, error) {
	p := Plan{
		Kind: PlanKind, Action: act, Version: version, Query: words, MadeAt: d.now().UTC().Truncate(time.Second),
		Totals: Totals{Captures: map[string]int64{}, Money: map[string]int64{}}, Items: []Item{}, Refused: []Refusal{},
	}
	orderIDs := make([]string, len(chosen))
	for n, c := range chosen {
		orderIDs[n] = c.OrderID
	}
	all, err := d.planning.Standings(ctx, orderIDs)
	if err != nil {
		return Plan{}, err
	}
	for _, c := range chosen {
		s, ok := all[c.OrderID]
		if !ok {
			continue // it was chosen and has gone
		}
		if s.Version != c.Version {
			p.Refused = append(p.Refused, Refusal{c.OrderID, s.State.Step, moved})
			continue
		}
		item, err := d.item(act, version, c.OrderID, s)
		if err != nil {
			p.Refused = append(p.Refused, Refusal{c.OrderID, s.State.Step, because(err)})
			continue
		}
		p.Items = append(p.Items, item)
	}
	if err := d.receive(ctx, p.Items, all); err != nil {
		return Plan{}, err
	}
	for _, item := range p.Items {
		p.Totals.add(item)
	}
	p.SHA256, err = p.sum()
	return p, err
}

func (d *Desk) item(act saga.Act, version int, id string, s Standing) (Item, error) {
	by, has := saga.Of(cmp.Or(s.Definition, saga.Version)) // one that has not begun begins with the current one
	if !has {
		return Item{}, engine.ErrDefinition
	}
	if s.Unreadable != "" {
		return Item{}, errUnreadable.Because(fmt.Errorf("UNREADABLE: its state as it is stored: %s", s.Unreadable))
	}
	item := Item{
		OrderID: id, Version: s.Version, State: s.State.Step, Entry: s.State.Entry, Total: s.Total, Currency: s.Currency,
		ActID: engine.ActID(id, act, s.Version), Sends: []Send{},
	}
	switch act {
	case saga.SkipStep:
		item.Found = s.Books.Answer
	case saga.ToVersion:
		item.From = by.Version
	}
	if act == saga.Redrive {
		for _, a := range s.Again {
			item.Sends = append(item.Sends, Send{Again: a, Effect: Deduplicated})
		}
	}
	decision, err := saga.Operate(by.Decide, s.State, saga.Input{ID: item.ActID, Message: item.command(act, version, plan.Attribution{}).Message()})
	if err == nil {
		err = s.Books.Refuse(act)
	}
	if err != nil {
		return Item{}, err
	}
	item.To, item.Timeouts = decision.State.Step, timeoutsOf(decision.SetTimers, d.waits)
	undoes := act == saga.Compensate || item.To.Undoing() && !item.State.Undoing()
	for n, m := range decision.Send {
		spec, _ := messages.SpecOf(m.Name())
		item.Sends = append(item.Sends, Send{Again: engine.Again{
			ID: messages.DerivedID(item.ActID, m.Name(), n), Type: m.Name(), Topic: spec.Topic, Service: messages.Orchestrator,
		}, Effect: NewEffect})
		switch m.(type) {
		case *messages.OrderCompleted:
			item.Mails = 1
		case *messages.RefundPayment:
			item.Money = s.Total
		}
	}
	if undoes {
		item.Mails, item.Money = 1, s.Total
	}
	return item, nil
}

// command is the act on an item.
func (i Item) command(act saga.Act, version int, by plan.Attribution) engine.Command {
	c := engine.Command{ID: i.ActID, Act: act, OrderID: i.OrderID, Version: i.Version, Found: i.Found, From: i.From, To: version, Timeouts: i.timeouts(), By: by}
	for _, s := range i.Sends {
		if s.again() {
			c.Again = append(c.Again, s.Again)
		}
	}
	return c
}

func (t *Totals) add(i Item) {
	t.Orders++
	t.Mails += i.Mails
	if i.Capture > 0 {
		t.Captures[i.Currency] += i.Capture
	}
	if i.Money > 0 {
		t.Money[i.Currency] += i.Money
	}
	for _, s := range i.Sends {
		switch s.Effect {
		case NewEffect:
			t.New++
		case Late:
			t.Late++
		default:
			t.Deduplicated++
			if s.handled() {
				t.Handled++
			}
		}
	}
}

// NewEffects says whether the plan does what nobody would know for a repetition: messages with new ids,
// money that is charged or given back, mails. Money moves on a message that is sent again too, where payment has never
// had it: the act in the outside world is a new one, whatever the message's id.
func (p Plan) NewEffects() bool {
	return p.Totals.New > 0 || p.Totals.Mails > 0 || len(p.Totals.Captures) > 0 || len(p.Totals.Money) > 0
}

// sum is the seal of the plan without its seal.
func (p Plan) sum() (string, error) {
	p.SHA256 = ""
	return plan.Seal(p)
}

// ReadPlan reads a plan as it was written. It fails with plan.ErrAltered when it was changed since.
func ReadPlan(text []byte) (Plan, error) {
	var p Plan
	if err := plan.Read(text, &p); err != nil {
		return Plan{}, err
	}
	if sum, err := p.sum(); err != nil || p.Kind != PlanKind || sum != p.SHA256 {
		return Plan{}, plan.ErrAltered
	}
	return p, nil
}

// String is the plan in a line.
func (p Plan) String() string {
	t, late := p.Totals, ""
	if t.Late > 0 {
		late = fmt.Sprintf(" (%d late)", t.Late)
	}
	return fmt.Sprintf("%s %d sagas: %d messages again%s, %d new, %d mails, %s charged, %s given back%s",
		p.Action, t.Orders, t.Deduplicated+t.Late, late, t.New, t.Mails, money.Sums(t.Captures), money.Sums(t.Money), p.timeouts())
}
