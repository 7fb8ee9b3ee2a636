package deadletters

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/domain/fault"
	"millrace/domain/plan"
)

// What a plan can do.
const (
	ActRedrive = "redrive" // send it again to the handler that refused it; try a refused act again
	ActDiscard = "discard" // it shall have no effect, ever
	ActSettle  = "settle"  // say what became of a refused act: a person has seen to it
)

// MostRedrives is how often a letter is sent again before it takes force to do so.
const MostRedrives = 3

// PlanKind names the format of a plan.
const PlanKind = "millrace dlq plan 2"

// Plan is what is to be done, and to which letters as they were when it was made.
type Plan struct {
	Kind    string    `json:"kind"`
	Action  string    `json:"action"`
	Outcome string    `json:"outcome,omitempty"` // of ActSettle
	Filter  string    `json:"filter"`            // the words that chose the letters
	MadeAt  time.Time `json:"madeAt"`
	Totals  Totals    `json:"totals"`
	Items   []Item    `json:"items"`
	SHA256  string    `json:"sha256"` // of everything above
}

// Item is one letter of a plan. Version pins it: when it has moved the item is skipped.
type Item struct {
	ID       string  `json:"id"`
	Version  int     `json:"version"`
	Service  string  `json:"service"`
	Consumer string  `json:"consumer"`
	Handler  string  `json:"handler"`
	OrderID  string  `json:"orderId"`
	Type     string  `json:"type"`
	Reason   string  `json:"reason"`
	Redrives int     `json:"redrives"`
	Position int     `json:"position"`
	Parked   int     `json:"parked"` // messages behind it when the plan was made
	Effects  Effects `json:"stakes"` // what can come of the act on it; "stakes" is the word of the format
}

// Faults of plans. Every one of them means that nothing was done.
var (
	ErrTooOften    = fault.New(fault.Conflict, "redriven_too_often", fmt.Sprintf("sent again %d times already", MostRedrives))
	ErrUnsettled   = fault.New(fault.Invalid, "cannot_settle", "it cannot be settled so")
	ErrStateOfPlan = fault.New(fault.Invalid, "cannot_plan", "only letters that are waiting, or have been redriving for too long, can be planned for")
)

// Plan says what would be done to the letters that a filter chooses: those that are waiting, unless
// it names redriving ones. It changes nothing. It fails with ErrUnsettled when an outcome does not
// fit one of them.
func (d *Desk) Plan(ctx context.Context, f Filter, words, action, outcome string) (Plan, error) {
	f.State = cmp.Or(f.State, Waiting)
	if f.State != Waiting && (f.State != Redriving || action != ActRedrive) {
		return Plan{}, ErrStateOfPlan
	}
	letters, err := d.letters.List(ctx, f)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Kind: PlanKind, Action: action, Outcome: outcome, Filter: words, MadeAt: d.now().UTC().Truncate(time.Second),
		Totals: Totals{Effects: NoEffects()}, Items: []Item{},
	}
	for _, l := range letters {
		if action == ActSettle && !slices.Contains(d.planning.SettleOutcomes(l.Handler), outcome) {
			return Plan{}, ErrUnsettled.Because(fmt.Errorf("%s of %s: %s", l.ID, l.Handler, takes(d.planning.SettleOutcomes(l.Handler))))
		}
		p.Items = append(p.Items, itemOf(l))
	}
	effects, err := d.planning.Effects(ctx, action, outcome, letters)
	if err != nil {
		return Plan{}, err
	}
	for n := range p.Items {
		item := &p.Items[n]
		item.Effects.Add(effects[item.ID])
		p.Totals.add(*item)
	}
	p.SHA256, err = p.sum()
	return p, err
}

func itemOf(l Letter) Item {
	return Item{
		ID: l.ID, Version: l.Version, Service: l.Service, Consumer: l.Consumer, Handler: l.Handler, OrderID: l.OrderID,
		Type: l.Type, Reason: l.Reason, Redrives: l.Redrives, Position: l.Position, Parked: l.Parked, Effects: NoEffects(),
	}
}

func (t *Totals) add(i Item) {
	t.Letters++
	t.Parked += i.Parked
	t.Add(i.Effects)
}

// String is the plan in a line.
func (p Plan) String() string {
	return fmt.Sprintf("%s %d letters: %s", p.Action, p.Totals.Letters, p.Totals)
}

func takes(outcomes []string) string {
	if len(outcomes) == 0 {
		return "a message has no outcome to be stated: redrive it, or discard it"
	}
	return "the outcomes are " + strings.Join(outcomes, ", ")
}

// sum is the hash of the plan without its hash.
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
