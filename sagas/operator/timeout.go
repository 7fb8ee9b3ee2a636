package operator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// Timeout is a time-out that an act sets. It stands in the plan, so that what is confirmed is what is set,
// whatever the settings are where the plan is applied.
type Timeout struct {
	Name  string `json:"name"`  // payment or inventory
	After Span   `json:"after"` // from the act on
}

// Span is a duration that is written as people write it, such as 1m30s.
type Span time.Duration

// String is the duration as it is typed.
func (s Span) String() string { return time.Duration(s).String() }

// MarshalText makes a span what is typed.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText fails for what is no duration.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err == nil {
		*s = Span(d)
	}
	return err
}

// timeoutsOf states the time-outs that a decision sets.
func timeoutsOf(set []saga.Timer, by engine.Timeouts) []Timeout {
	var all []Timeout
	for _, t := range set {
		all = append(all, Timeout{t.Name, Span(by.Of(t.Name))})
	}
	return all
}

// timeouts are those of an item as the engine takes them. What the item does not state is 0, which the
// engine does not set.
func (i Item) timeouts() engine.Timeouts {
	var by engine.Timeouts
	for _, t := range i.Timeouts {
		if t.Name == saga.InventoryTimer {
			by.Inventory = time.Duration(t.After)
		} else {
			by.Payment = time.Duration(t.After)
		}
	}
	return by
}

// timeouts says how many time-outs the plan sets, of which length; "" for none.
func (p Plan) timeouts() string {
	counts := map[Timeout]int{}
	var kinds []Timeout
	for _, i := range p.Items {
		for _, t := range i.Timeouts {
			if counts[t]++; counts[t] == 1 {
				kinds = append(kinds, t)
			}
		}
	}
	slices.SortFunc(kinds, func(a, b Timeout) int { return strings.Compare(a.Name, b.Name) })
	var all strings.Builder
	for _, t := range kinds {
		fmt.Fprintf(&all, ", %d %s time-outs set to %s", counts[t], t.Name, t.After)
	}
	return all.String()
}
