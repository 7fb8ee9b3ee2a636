package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"millrace/domain/order"
	"millrace/sagas/replay"
)

func (p *program) sagaReplay() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay ID | FILE | --query QUERY",
		Short: "Decide histories again with this build, and say where it differs",
		Long: `Give the messages of stored histories to this build's Decide, in the order in which they came, and
compare every decision with the one that was made. Nothing is written, sent or called: databases are
opened for reading only. FILE is a bundle of "millrace saga export", or an archive of the retention of
journals, compressed as it is.

A saga is OK, DIVERGED with the first entry at which the two part, or UNREPLAYABLE when its history
is damaged or this build cannot read all of it. Exit codes: 0 all are OK; 2 at least one diverged;
3 history damaged or incomplete; 4 no code for a version.

A saga keeps the version of the definition that it began with, and is decided again by that one, as this
build would go on with it. --def current asks what the newest version would have decided instead.

--match strict compares everything, commands what is sent and how the order ends, terminal only
the end. --ignore takes JSON pointers into an entry, such as /after/reason or /sent/*/data/reason.`,
		Example: "  millrace saga replay --query since=1h\n  millrace saga replay failed.ndjson --match commands --junit replay.xml\n  millrace saga replay ord_01k9zq6v3e7x --json",
		Args:    cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	f := c.Flags()
	query := f.String("query", "", "which sagas; the words of `millrace saga list`")
	def := f.String("def", "recorded", "definition that decides: recorded (each saga's own), current (the newest) or a version")
	match := f.String("match", "strict", "what must be equal: strict, commands or terminal")
	ignore := f.StringArray("ignore", nil, "JSON pointer to what may differ; * stands for one step; may be repeated")
	sample := f.Float64("sample", 1, "share of the sagas that is replayed, chosen by order id")
	parallel := f.Int("parallel", 8, "how many are replayed at once")
	junit := f.String("junit", "", "also write a JUnit report to this file")
	decisions := f.Bool("decisions", false, "with --json: every decision, for comparing two builds")
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := replayOptions(*def, *match, *ignore, *sample, *parallel)
		if err != nil {
			return err
		}
		o.Decisions = *decisions && p.json
		if (len(args) == 1) == f.Changed("query") || len(args) > 1 {
			return errors.New("name an order or a bundle, or choose sagas with --query, one of the three")
		}
		h, err := p.chosen(c, where(), *query, args)
		if err != nil {
			return err
		}
		sum, err := p.replayAll(h, o, *junit)
		if err = errors.Join(err, h.Close()); err != nil {
			return err
		}
		return verdictOf(sum)
	}
	return c
}

// chosen opens what the words of a verb name: an order, a bundle, or what a query chooses.
func (p *program) chosen(c *cobra.Command, where Where, query string, args []string) (*Histories, error) {
	if len(args) == 1 {
		if _, err := order.ParseID(args[0]); err != nil {
			return openBundle(args[0])
		}
	}
	return p.histories(c, where, query, args)
}

func replayOptions(def, match string, ignore []string, sample float64, parallel int) (replay.Options, error) {
	o := replay.Options{Match: replay.Match(match), Ignore: ignore, Sample: sample, Parallel: parallel}
	switch def {
	case "current":
		o.Definition = replay.Current
	case "recorded":
		o.Definition = replay.Recorded
	default:
		n, err := strconv.Atoi(def)
		if err != nil || n < 1 {
			return o, fmt.Errorf("--def %q: choose current, recorded or the number of a version", def)
		}
		o.Definition = n
	}
	switch {
	case !slices.Contains([]replay.Match{replay.Strict, replay.Commands, replay.Terminal}, o.Match):
		return o, fmt.Errorf("--match %q: choose strict, commands or terminal", match)
	case sample <= 0 || sample > 1:
		return o, fmt.Errorf("--sample %v: give a share above 0 and up to 1", sample)
	case parallel < 1 || parallel > 1024:
		return o, fmt.Errorf("--parallel %d: give a number from 1 to 1024", parallel)
	}
	for _, pointer := range ignore {
		if !strings.HasPrefix(pointer, "/") || pointer == "/" {
			return o, fmt.Errorf("--ignore %q: it is a JSON pointer into an entry, such as /after/reason", pointer)
		}
	}
	return o, nil
}

// replayAll replays and tells, one result at a time.
func (p *program) replayAll(h *Histories, o replay.Options, junit string) (replay.Summary, error) {
	var report *junitReport
	if junit != "" {
		file, err := os.Create(junit)
		if err != nil {
			return replay.Summary{}, fmt.Errorf("--junit: %w", err)
		}
		defer func() { _ = file.Close() }() // for a way out before its end; the end closes it too
		report = &junitReport{file: file}
		if err := report.begin(); err != nil {
			return replay.Summary{}, err
		}
	}
	bar := p.replayBar(h.Sagas)
	list := jsonList{to: p.Stdout}
	started := p.Now()
	sum, err := replay.Run(h.All, o, func(r replay.Result) error {
		_ = bar.Add(1) // what a person sees of it is no result
		if report != nil {
			if err := report.add(r); err != nil {
				return err
			}
		}
		if p.json {
			return list.add(r)
		}
		p.printResult(r)
		return nil
	})
	_ = bar.Finish()
	if err != nil {
		return sum, err
	}
	if report != nil {
		if err := report.end(sum); err != nil {
			return sum, err
		}
	}
	if p.json {
		return sum, list.end(sum)
	}
	p.printSummary(sum)
	p.printRate(sum, p.Now().Sub(started))
	return sum, nil
}

func (p *program) replayBar(sagas int) *progressbar.ProgressBar {
	return progressbar.NewOptions(sagas, progressbar.OptionSetWriter(p.Stderr), progressbar.OptionSetDescription("sagas replayed"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(p.Terminal(p.Stderr)))
}

// printResult says nothing of what is as it was.
func (p *program) printResult(r replay.Result) {
	if r.Verdict == replay.OK {
		return
	}
	colour := red
	if r.Verdict == replay.Unreplayable {
		colour = yellow
	}
	fmt.Fprintf(p.Stdout, "%s %s\n", p.paint(p.Stdout, string(r.Verdict), colour), r.OrderID)
	for _, d := range r.Divergences {
		fmt.Fprintf(p.Stdout, "  %s\n", short(d.String(), 400))
	}
}

func (p *program) printSummary(s replay.Summary) {
	fmt.Fprintf(p.Stdout, "%d sagas with %d entries: %d OK, %d DIVERGED, %d UNREPLAYABLE\n", s.Sagas, s.Entries, s.OK, s.Diverged, s.Unreplayable)
	var worst []string
	for _, severity := range []replay.Severity{replay.Money, replay.Goods, replay.Customer, replay.Internal} {
		if n := s.Severities[severity]; n > 0 {
			worst = append(worst, fmt.Sprintf("%d %s", n, severity))
		}
	}
	if len(worst) > 0 {
		var classes []string
		for _, class := range slices.Sorted(maps.Keys(s.Classes)) {
			classes = append(classes, fmt.Sprintf("%d %s", s.Classes[class], class))
		}
		fmt.Fprintf(p.Stdout, "by severity: %s; by class: %s\n", strings.Join(worst, ", "), strings.Join(classes, ", "))
	}
}

// printRate says for people how fast it went.
func (p *program) printRate(s replay.Summary, took time.Duration) {
	rate := ""
	if took > 100*time.Millisecond { // of less a rate would be chance
		rate = fmt.Sprintf(", %.0f sagas/s", float64(s.Sagas)/took.Seconds())
	}
	fmt.Fprintf(p.Stderr, "replayed in %s%s\n", took.Round(time.Millisecond), rate)
}

// verdictOf gives the exit code. What was looked for goes before what could not be looked at.
func verdictOf(s replay.Summary) error {
	switch {
	case s.Diverged > 0:
		return WithCode(Found, errSilent)
	case s.NoDefinition > 0:
		return WithCode(NoCode, fmt.Errorf("this build has no code for the definition of %d sagas: replay them with a build that has, or with --def current to see what it would decide for them", s.NoDefinition))
	case s.Unreplayable > 0:
		return WithCode(Damaged, fmt.Errorf("%d histories are damaged, incomplete or not readable by this build: look at them with `millrace saga show`", s.Unreplayable))
	case s.Sagas == 0:
		return WithCode(Damaged, errors.New("no saga was in the sample: raise --sample"))
	default:
		return nil
	}
}
