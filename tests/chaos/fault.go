package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// fault is a row of the table: one way to hurt the system.
type fault struct {
	name  string // family/what[/where]
	kind  string
	on    []string // stacks
	short []string // stacks on which it belongs to a run of a few minutes
	does  string   // what it does, how it heals and what proves that it happened
	last  bool     // needs a run that has lasted for a while
	once  bool     // cannot be done twice in a run
	alone bool     // hurts everybody: nothing else at the same time
	hurts []string // services or servers: two faults that share one take turns

	// able says why this machine or build cannot have it; nil when it always can.
	able func(*world) error
	// begin strikes.
	begin func(context.Context, *world) (blow, error)
}

// blow is a fault that has begun.
type blow struct {
	// seen is asked again and again until it says that the fault has happened, and how that shows.
	seen func(context.Context) (string, bool)
	hold time.Duration // for which it goes on hurting after that
	heal func(context.Context) error
}

var (
	both         = []string{embeddedStack, realStack}
	onlyEmbedded = []string{embeddedStack}
	onlyReal     = []string{realStack}
)

// where is a list of stacks where a condition holds, and no stack otherwise.
func where(holds bool, stacks []string) []string {
	if holds {
		return stacks
	}
	return nil
}

// table is every fault, the families one after the other.
func table() []fault {
	return slices.Concat(killFaults(), processFaults(), brokerFaults(), databaseFaults(), cacheFaults(),
		mailFaults(), providerFaults(), messageFaults(), letterFaults(), raceFaults())
}

// plan is what a run does, in volleys: the faults of one strike at the same moment. Left out is
// what could have been planned and was not, with the reason.
type plan struct {
	volleys [][]fault
	leftOut []string
	edges   bool // the time-outs of the saga are provoked, so every edge of its table is planned
}

func (p plan) faults() []fault { return slices.Concat(p.volleys...) }

// volleySize is how many strike at the same moment: on the embedded stack one process is all there is.
var volleySize = map[string]int{embeddedStack: 1, realStack: 6}

// choose makes the plan of a run. The same options give the same plan on the same machine.
func choose(w *world) (plan, error) {
	var p plan
	chance := rand.New(rand.NewPCG(w.opts.Seed, 0))
	var fit []fault
	for _, f := range table() {
		switch {
		case !slices.Contains(f.on, w.opts.Stack):
			continue
		case len(w.opts.Faults) > 0 && !slices.ContainsFunc(w.opts.Faults, func(name string) bool { return strings.HasPrefix(f.name, name) }):
			continue
		}
		if f.able != nil {
			if err := f.able(w); err != nil {
				p.leftOut = append(p.leftOut, f.name+": "+err.Error())
				continue
			}
		}
		fit = append(fit, f)
	}
	if len(fit) == 0 {
		return p, fmt.Errorf("no fault of the %s stack is called %s: `make chaos LIST=yes` lists them", w.opts.Stack, strings.Join(w.opts.Faults, " or "))
	}
	if len(w.opts.Faults) == 0 && w.opts.Duration < longRun {
		fit = shortened(fit, w.opts.Stack, chance)
	}
	chance.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
	slices.SortStableFunc(fit, func(x, y fault) int {
		switch {
		case x.last == y.last:
			return 0
		case x.last:
			return 1
		}
		return -1
	})
	p.volleys = volleys(fit, volleySize[w.opts.Stack])
	has := func(name string) bool {
		return slices.ContainsFunc(fit, func(f fault) bool { return f.name == name })
	}
	p.edges = has(slowProvider) && has(slowInventory)
	return p, nil
}

// longRun is the duration from which every row is planned.
const longRun = 10 * time.Minute

// shortened keeps the rows that are meant for short runs, and of the failpoints every place once,
// with one of those who come past it.
func shortened(all []fault, stack string, chance *rand.Rand) []fault {
	var kept []fault
	places := map[string][]fault{}
	var order []string
	for _, f := range all {
		if f.kind != kindKill {
			if slices.Contains(f.short, stack) {
				kept = append(kept, f)
			}
			continue
		}
		at := place(f)
		if places[at] == nil {
			order = append(order, at)
		}
		places[at] = append(places[at], f)
	}
	for _, at := range order {
		kept = append(kept, places[at][chance.IntN(len(places[at]))])
	}
	return kept
}

// place is the name of a kill without who is killed.
func place(f fault) string { return f.name[:strings.LastIndexByte(f.name, '/')] }

// volleys puts faults that do not hurt the same thing together.
func volleys(all []fault, size int) [][]fault {
	var done [][]fault
	for len(all) > 0 {
		volley, rest := []fault{all[0]}, []fault(nil)
		for _, f := range all[1:] {
			if len(volley) < size && !volley[0].alone && !f.alone && f.last == volley[0].last && !shares(volley, f) {
				volley = append(volley, f)
			} else {
				rest = append(rest, f)
			}
		}
		done, all = append(done, volley), rest
	}
	return done
}

func shares(volley []fault, f fault) bool {
	return slices.ContainsFunc(volley, func(other fault) bool {
		return slices.ContainsFunc(other.hurts, func(what string) bool { return slices.Contains(f.hurts, what) })
	})
}

// describe writes the whole table for people.
func describe(all []fault, sites []site) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tKIND\tSTACKS\tIN SHORT RUNS\tWHAT IT DOES")
	for _, f := range all {
		short := strings.Join(f.short, ", ")
		if f.kind == kindKill {
			short = "one of each place"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.name, f.kind, strings.Join(f.on, ", "), cmp.Or(short, "-"), f.does)
	}
	_ = t.Flush() // into memory
	kinds := map[string]bool{}
	for _, f := range all {
		kinds[f.kind] = true
	}
	fmt.Fprintf(&text, "\n%d faults of %d kinds; %d of them at failpoints\n", len(all), len(kinds), len(sites))
	return text.String()
}
