package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"millrace/adapters/failpoint"
)

// The verdicts of a run.
const (
	passed  = "PASSED"
	failed  = "FAILED"
	invalid = "INVALID"
)

// report is what came of a run.
type report struct {
	Verdict  string    `json:"verdict"`
	Stack    string    `json:"stack"`
	Seed     uint64    `json:"seed"`
	Duration string    `json:"duration"`
	Began    time.Time `json:"began"`
	Took     string    `json:"took"`
	Again    string    `json:"again"` // the command that does it again

	Orders struct {
		Sent         int            `json:"sent"`
		Acknowledged int            `json:"acknowledged"`
		Terminal     int            `json:"terminal"`
		Unanswered   int            `json:"unanswered"` // whose caller never learned of it
		Ends         map[string]int `json:"ends"`       // status and reason
		Forgiven     int            `json:"forgiven"`   // timed out while something was away
	} `json:"orders"`
	Faults     []*struck `json:"faults"`
	LeftOut    []string  `json:"leftOut"`
	Failpoints coverage  `json:"failpoints"`
	Sites      coverage  `json:"sites"` // failpoints with who works there
	Edges      coverage  `json:"edges"` // of the saga's table
	Duplicates struct {
		Delivered int `json:"delivered"` // that consumers saw, at least
		Mails     int `json:"mails"`     // that came again under the same Message-ID
		Effects   int `json:"effects"`   // doubled: must be 0
	} `json:"duplicates"`
	Lost            int   `json:"lost"`            // must be 0
	MoneyDifference int64 `json:"moneyDifference"` // minor units; must be 0
	StockDifference int64 `json:"stockDifference"` // pieces; must be 0
	DeadLetters     struct {
		Injected int `json:"injected"` // records that a consumer must refuse, once for each such consumer
		Kept     int `json:"kept"`
	} `json:"deadLetters"`
	Recovery struct {
		P50 float64 `json:"p50"` // seconds
		Max float64 `json:"max"`
	} `json:"recovery"`
	Post struct {
		CalmP99 float64 `json:"calmP99"` // milliseconds of one answered POST while nothing was broken
		P50     float64 `json:"p50"`     // and while something was
		P99     float64 `json:"p99"`
		Whole99 float64 `json:"wholeP99"` // from the first try to the 202
	} `json:"post"`
	Verify     json.RawMessage `json:"verify"`
	Violations []string        `json:"violations"`
	Missing    []string        `json:"missing"` // planned, and never happened

	mu         sync.Mutex
	recoveries []time.Duration
	plan       plan
}

// struck is what came of one fault.
type struck struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Planned bool   `json:"planned"`
	Times   int    `json:"times"` // that it was seen to happen
	How     string `json:"how"`
}

// coverage says how many of those that were planned have happened.
type coverage struct {
	Planned int      `json:"planned"`
	Hit     int      `json:"hit"`
	Hits    []string `json:"hits"`
}

func newReport(w *world, p plan) *report {
	r := &report{Stack: w.opts.Stack, Seed: w.opts.Seed, Duration: w.opts.Duration.String(), Began: time.Now().UTC().Truncate(time.Second), Again: w.opts.command(), LeftOut: p.leftOut, plan: p}
	for _, f := range p.faults() {
		r.Faults = append(r.Faults, &struck{Name: f.name, Kind: f.kind, Planned: true})
	}
	r.Orders.Ends = map[string]int{}
	return r
}

func (r *report) struck(f fault, planned, seen bool, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.Faults, func(s *struck) bool { return s.Name == f.name })
	s := r.Faults[i]
	if seen {
		s.Times++
	}
	if planned || s.How == "" {
		s.How = how
	}
}

func (r *report) recovered(in time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recoveries = append(r.recoveries, in)
}

// finish draws the conclusion.
func (r *report) finish(w *world) {
	r.Took = time.Since(r.Began).Round(time.Second).String()
	for _, s := range r.Faults {
		if s.Planned && s.Times == 0 {
			r.Missing = append(r.Missing, "fault "+s.Name+": "+s.How)
		}
	}
	r.cover()
	if n := len(r.recoveries); n > 0 {
		slices.Sort(r.recoveries)
		r.Recovery.P50, r.Recovery.Max = r.recoveries[n/2].Seconds(), r.recoveries[n-1].Seconds()
	}
	w.mu.Lock()
	r.Violations = append([]string{}, w.violations...)
	w.mu.Unlock()
	switch {
	case len(r.Violations) > 0:
		r.Verdict = failed
	case len(r.Missing) > 0:
		r.Verdict = invalid
	default:
		r.Verdict = passed
	}
}

// cover compares the failpoints that were planned with those where something was made to happen.
func (r *report) cover() {
	points, sites := map[string]bool{}, map[string]bool{}
	for _, s := range r.Faults {
		if s.Kind != kindKill || !s.Planned {
			continue
		}
		site := strings.TrimPrefix(s.Name, "kill/")
		point := site[:strings.LastIndexByte(site, '/')]
		r.Sites.Planned++
		points[point] = points[point] || s.Times > 0
		if s.Times > 0 {
			sites[site] = true
		}
	}
	r.Sites.Hit, r.Sites.Hits = len(sites), slices.Sorted(maps.Keys(sites))
	for _, point := range failpoint.All {
		hit, planned := points[point]
		if planned {
			r.Failpoints.Planned++
		}
		if hit {
			r.Failpoints.Hit++
			r.Failpoints.Hits = append(r.Failpoints.Hits, point)
		} else if planned {
			r.Missing = append(r.Missing, "failpoint "+point)
		}
	}
}

func (r *report) code() int {
	return map[string]int{passed: exitPassed, failed: exitFailed, invalid: exitInvalid}[r.Verdict]
}

func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// line is the whole in one line.
func (r *report) line() string {
	seen, kinds := 0, map[string]bool{}
	for _, s := range r.Faults {
		if s.Times > 0 {
			seen++
			kinds[s.Kind] = true
		}
	}
	return fmt.Sprintf("%s: %s stack, seed %d, %s: %d orders, %d faults of %d kinds, failpoints %d/%d, edges %d/%d, %d violations",
		r.Verdict, r.Stack, r.Seed, r.Took, r.Orders.Acknowledged, seen, len(kinds), r.Failpoints.Hit, r.Failpoints.Planned, r.Edges.Hit, r.Edges.Planned, len(r.Violations))
}

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	kinds := map[string][2]int{}
	seen := 0
	for _, s := range r.Faults {
		k := kinds[s.Kind]
		if s.Times > 0 {
			k[0]++
			seen++
		}
		k[1] += s.Times
		kinds[s.Kind] = k
	}
	row("orders", "%d sent, %d acknowledged, %d terminal, %d whose caller never learned of it", r.Orders.Sent, r.Orders.Acknowledged, r.Orders.Terminal, r.Orders.Unanswered)
	for _, e := range slices.Sorted(maps.Keys(r.Orders.Ends)) {
		row("", "%d %s", r.Orders.Ends[e], e)
	}
	row("forgiven", "%d timed out while something was away", r.Orders.Forgiven)
	row("faults", "%d of %d seen, of %d kinds", seen, len(r.Faults), len(kinds))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		row("", "%s: %d faults, %d times", kind, kinds[kind][0], kinds[kind][1])
	}
	row("failpoints", "hit %d/%d, at %d/%d sites", r.Failpoints.Hit, r.Failpoints.Planned, r.Sites.Hit, r.Sites.Planned)
	row("saga edges", "%d/%d", r.Edges.Hit, r.Edges.Planned)
	row("duplicates", "%d delivered at least, %d mails came again under the same Message-ID", r.Duplicates.Delivered, r.Duplicates.Mails)
	row("effects doubled", "%d", r.Duplicates.Effects)
	row("lost", "%d", r.Lost)
	row("money difference", "%d", r.MoneyDifference)
	row("stock difference", "%d", r.StockDifference)
	row("dead letters", "%d injected, %d kept", r.DeadLetters.Injected, r.DeadLetters.Kept)
	row("recovery", "p50 %.1f s, max %.1f s", r.Recovery.P50, r.Recovery.Max)
	row("POST", "p99 %.0f ms calm; while it hurts p50 %.0f ms, p99 %.0f ms; to the 202, tries included, p99 %.0f ms", r.Post.CalmP99, r.Post.P50, r.Post.P99, r.Post.Whole99)
	_ = t.Flush() // into memory
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "never happened: %s\n", m)
	}
	for i, v := range r.Violations {
		if i == 40 {
			fmt.Fprintf(&b, "and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(&b, "BROKEN: %s\n", v)
	}
	b.WriteString(r.line())
	if r.Verdict != passed {
		fmt.Fprintf(&b, "\nagain: %s", r.Again)
	}
	return b.String()
}
