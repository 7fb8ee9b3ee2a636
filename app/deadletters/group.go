package deadletters

import (
	"cmp"
	"slices"
	"time"
)

// Group counts letters that are alike.
type Group struct {
	Service string    `json:"service"`
	Handler string    `json:"handler"`
	Reason  string    `json:"reason"`
	State   string    `json:"state"`
	Count   int       `json:"count"`
	Parked  int       `json:"parked"` // messages that wait behind them
	Oldest  time.Time `json:"oldest"` // first attempt
}

// Groups counts letters by service, handler, reason and state, the largest group first.
func Groups(letters []Letter) []Group {
	byKey := map[Group]*Group{}
	groups := []*Group{}
	for _, l := range letters {
		key := Group{Service: l.Service, Handler: l.Handler, Reason: l.Reason, State: l.State}
		g := byKey[key]
		if g == nil {
			g = &Group{Service: l.Service, Handler: l.Handler, Reason: l.Reason, State: l.State, Oldest: l.FirstAt}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.Count++
		g.Parked += l.Parked
		if l.FirstAt.Before(g.Oldest) {
			g.Oldest = l.FirstAt
		}
	}
	return sorted(groups)
}

func sorted(groups []*Group) []Group {
	all := make([]Group, len(groups))
	for i, g := range groups {
		all[i] = *g
	}
	slices.SortStableFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Handler, b.Handler), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.State, b.State))
	})
	return all
}
