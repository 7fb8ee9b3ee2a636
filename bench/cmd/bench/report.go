package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what was measured. It is results.json as it stands.
type report struct {
	At       time.Time `json:"at"`
	Took     string    `json:"took,omitempty"`
	Command  string    `json:"command"`
	Machine  machine   `json:"machine"`
	Samples  []*series `json:"samples"`
	Points   []*curve  `json:"points"`
	Failures []string  `json:"failures"`

	pending []func() // what a contestant has shown whose orders are not checked yet
}

type machine struct {
	Processors int    `json:"processors"`
	Model      string `json:"model"`
	System     string `json:"system"`
	Build      string `json:"build"`
	LoadBefore string `json:"loadBefore"` // of one, five and fifteen minutes
}

// series are the samples of one figure, one a round.
type series struct {
	Measure string    `json:"measure"`
	Who     string    `json:"who"`
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
}

// curve is a line of a plot.
type curve struct {
	Measure string       `json:"measure"`
	Who     string       `json:"who"`
	Points  [][2]float64 `json:"points"`
}

func newReport(ctx context.Context, p plan) *report {
	r := &report{At: time.Now().UTC().Truncate(time.Second), Command: command(p, os.Args[1:]), Failures: []string{}}
	r.Machine = machine{Processors: runtime.NumCPU(), Model: model(), System: system(ctx), Build: told(ctx, "git", "describe", "--tags", "--always", "--dirty")}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Machine.LoadBefore = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return r
}

// command is what a reader has to type for the same run.
func command(p plan, args []string) string {
	made := "make bench"
	if p.quick {
		made = "make bench-quick"
	}
	var flags []string
	for _, arg := range args {
		if strings.TrimLeft(arg, "-") != "quick" {
			flags = append(flags, arg)
		}
	}
	if len(flags) > 0 {
		made += " BENCH='" + strings.Join(flags, " ") + "'"
	}
	return made
}

func told(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// system is the kernel's name and version, without what its packager adds.
func system(ctx context.Context) string {
	name, _, _ := strings.Cut(told(ctx, "uname", "-sr"), "-")
	return name
}

func model() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// sample notes a figure. It counts when keep is called.
func (r *report) sample(measure, who, unit string, value float64) {
	say("  %-12s %-16s %.1f %s", measure, who, value, unit)
	r.pending = append(r.pending, func() {
		s := r.series(measure, who)
		if s == nil {
			s = &series{Measure: measure, Who: who, Unit: unit}
			r.Samples = append(r.Samples, s)
		}
		s.Values = append(s.Values, value)
	})
}

// point notes a point of a plot. It counts when keep is called.
func (r *report) point(measure, who string, x, y float64) {
	say("  %-12s %-16s %.0f: %.1f", measure, who, x, y)
	r.pending = append(r.pending, func() {
		i := slices.IndexFunc(r.Points, func(c *curve) bool { return c.Measure == measure && c.Who == who })
		if i < 0 {
			i = len(r.Points)
			r.Points = append(r.Points, &curve{Measure: measure, Who: who})
		}
		r.Points[i].Points = append(r.Points[i].Points, [2]float64{x, y})
	})
}

// keep lets count what has been measured since: every order of it ended as it should.
func (r *report) keep() {
	for _, note := range r.pending {
		note()
	}
	r.pending = nil
}

// fail drops what has been measured since: a fast wrong answer is no result.
func (r *report) fail(who string, err error) {
	r.pending = nil
	r.Failures = append(r.Failures, who+": "+err.Error())
	say("FAILED %s: %v", who, err)
}

func (r *report) series(measure, who string) *series {
	for _, s := range r.Samples {
		if s.Measure == measure && s.Who == who {
			return s
		}
	}
	return nil
}

func (s *series) median() float64 {
	if s == nil || len(s.Values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// text is the median with the range, where there is one.
func (s *series) text() string {
	switch {
	case s == nil || len(s.Values) == 0:
		return "not measured"
	case len(s.Values) == 1:
		return fmt.Sprintf("%s %s", figure(s.Values[0]), s.Unit)
	}
	return fmt.Sprintf("%s %s (%s to %s)", figure(s.median()), s.Unit, figure(slices.Min(s.Values)), figure(slices.Max(s.Values)))
}

func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// goal is what a figure has to reach: at least so much, or at most.
type goal struct {
	value float64 // 0: none is set
	most  bool
}

func (g goal) text(got float64) string {
	words, met := "at least", got >= g.value
	if g.most {
		words, met = "at most", got <= g.value
	}
	switch {
	case g.value == 0:
		return ""
	case met:
		return fmt.Sprintf("%s %s: met", words, figure(g.value))
	}
	return fmt.Sprintf("%s %s: **missed**", words, figure(g.value))
}

// rows are the lines of the table: what is measured, and who is compared by it. The goal is the ratio's where
// there is one.
var rows = []struct {
	words, measure, who     string
	againstMeasure, against string
	goal                    goal
}{
	{"steady, at most 1,000 orders under way, against stock Watermill tuned", "steady", "millrace", "steady", "watermill", goal{value: 10}},
	{"burst, against stock Watermill tuned", "burst", "millrace", "burst", "watermill", goal{value: 12}},
	{"all services in one process, steady, against stock Watermill tuned", "steady", "millrace-one", "steady", "watermill", goal{}},
	{"all services in one process, burst, against stock Watermill tuned", "burst", "millrace-one", "burst", "watermill", goal{}},
	{"steady, against River tuned", "steady", "millrace", "steady", "river", goal{value: 3.5}},
	{"burst, against River tuned", "burst", "millrace", "burst", "river", goal{}},
	{"steady, against PostgreSQL alone, one CTE a transaction", "steady", "millrace", "steady", "pgbench-cte", goal{value: 1.5}},
	{"steady, against PostgreSQL alone, plain statements", "steady", "millrace", "steady", "pgbench-plain", goal{}},
	{"provider over HTTP and mail over SMTP, steady, against stock Watermill tuned without either", "steady", "millrace-real", "steady", "watermill", goal{value: 7}},
	{"servers too in the one process (SQLite, kfake), steady", "steady", "embedded", "", "", goal{value: 700}},
	{"POST to CONFIRMED at 100/s, provider and mail for real, p50", "100/s p50", "millrace-real", "", "", goal{60, true}},
	{"the same, p99", "100/s p99", "millrace-real", "", "", goal{400, true}},
	{"POST to CONFIRMED at 100/s, p50", "100/s p50", "millrace", "", "", goal{}},
	{"the same, p99", "100/s p99", "millrace", "", "", goal{}},
	{"POST to CONFIRMED at 800/s, p50", "800/s p50", "millrace", "", "", goal{300, true}},
	{"the same, p99", "800/s p99", "millrace", "", "", goal{900, true}},
	{"ten hot SKUs, against a hundred", "hot SKUs", "ten", "hot SKUs", "hundred", goal{value: 0.7}},
	{"two processes of every consumer, against one", "copies", "two", "copies", "one", goal{value: 0.9}},
	{"processor time of the processes", "processor", "millrace", "", "", goal{1, true}},
	{"processor time of the one process", "processor", "millrace-one", "", "", goal{}},
	{"processor time of the processes, against stock Watermill tuned", "processor", "millrace", "processor", "watermill", goal{}},
	{"the same, against River tuned", "processor", "millrace", "processor", "river", goal{}},
	{"after 200,000 orders, against the first 30,000", "soak", "twentieth", "soak", "first", goal{value: 0.9}},
	{"at the end of ten minutes, against the first 30,000", "soak", "last", "soak", "first", goal{}},
	{"largest process in the second half of the ten minutes, against the first", "soak memory", "second half", "soak memory", "first half", goal{1.05, true}},
	{"largest process, after steady load and burst", "memory", "millrace", "", "", goal{300, true}},
	{"the one process, after steady load and burst", "memory", "millrace-one", "", "", goal{300, true}},
}

// table is what was measured, in Markdown. What was not measured has no line.
func (r *report) table() string {
	var b strings.Builder
	b.WriteString("| measure | Millrace | compared with | ratio | goal |\n|---|---|---|---|---|\n")
	for _, row := range rows {
		mine := r.series(row.measure, row.who)
		if mine == nil {
			continue
		}
		other, ratio, got := "", "", mine.median()
		if row.against != "" {
			s := r.series(row.againstMeasure, row.against)
			other = s.text()
			got = 0
			if m := s.median(); m > 0 {
				got = mine.median() / m
				ratio = fmt.Sprintf("%.2f", got)
			}
		}
		goal := ""
		if row.against == "" || ratio != "" {
			goal = row.goal.text(got)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.words, mine.text(), other, ratio, goal)
	}
	r.spent(&b)
	m := r.Machine
	fmt.Fprintf(&b, "\n`%s`, %s, build %s, %s. %d processors (%s), %s; load of the machine before: %s.\n",
		r.Command, r.At.Format("2006-01-02"), m.Build, r.Took, m.Processors, m.Model, m.System, m.LoadBefore)
	for _, failure := range r.Failures {
		fmt.Fprintf(&b, "\nFAILED: %s\n", failure)
	}
	return b.String()
}

// spent writes where the processor time of an order goes, by program, in steady load.
func (r *report) spent(b *strings.Builder) {
	for _, who := range []maker{ours, oursOne, watermill, river} {
		measure := "processor of " + who.name
		words, sum := "", 0.0
		for _, s := range r.Samples {
			if s.Measure != measure {
				continue
			}
			if words == "" {
				fmt.Fprintf(b, "\n| processor time an order, steady: %s | ms |\n|---|---|\n", who.name)
			}
			words = s.Who
			sum += s.median()
			fmt.Fprintf(b, "| %s | %.2f |\n", s.Who, s.median())
		}
		if words != "" {
			fmt.Fprintf(b, "| sum | %.2f |\n", sum)
		}
	}
}

// write keeps results.json, table.md and the plots in the folder of results.
func (r *report) write(p plan) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	files := map[string][]byte{"results.json": append(text, '\n'), "table.md": []byte(r.table())}
	for name, plot := range r.plots() {
		files[name] = plot
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(p.out, name), content, 0o644); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// The markers between which a page holds the table.
const (
	begins = "<!-- bench:begin -->\n"
	ends   = "<!-- bench:end -->\n"
)

// intoPage writes the table into a page, and the plots beside it.
func (r *report) intoPage(page string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	before, rest, found := bytes.Cut(text, []byte(begins))
	_, after, closed := bytes.Cut(rest, []byte(ends))
	if !found || !closed {
		return fmt.Errorf("%s has no place for the table: two lines, %q and %q", page, strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begins + r.table())
	for name, plot := range r.plots() {
		if err := os.WriteFile(filepath.Join(filepath.Dir(page), name), plot, 0o644); err != nil {
			return fmt.Errorf("write the plot: %w", err)
		}
	}
	for _, p := range plotted {
		if r.drawn(p.measures) {
			fmt.Fprintf(&b, "\n![%s](%s)\n", p.title, p.file)
		}
	}
	b.WriteString(ends)
	b.Write(after)
	if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
