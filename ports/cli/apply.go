package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/domain/plan"
)

// applyFlags are those of every verb that applies a plan.
type applyFlags struct {
	confirm, reason, actor string
	rate, stopAt           string
	canary                 int
	timeout                time.Duration
}

func applyFlagsOf(c *cobra.Command) *applyFlags {
	a, f := &applyFlags{}, c.Flags()
	f.StringVar(&a.confirm, "confirm", "", "the plan's sha256, as a sign that it was read (required)")
	f.StringVar(&a.reason, "reason", "", "why; kept with every act (required)")
	f.StringVar(&a.actor, "actor", "", "who; kept with every act (required)")
	f.IntVar(&a.canary, "canary", 0, "so many first, and the rest only when every one of them is VERIFIED; 0 for all at once")
	f.StringVar(&a.rate, "rate", "", "begin at most so many a second, such as 20/s; without it, as fast as it goes")
	f.StringVar(&a.stopAt, "stop-at-errors", "", "begin no more when more than this share of the plan has failed or timed out, such as 2%; until then no more are under way at once than would stop it if all failed, and never more than 20")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for outcomes, from when the acts were begun")
	return a
}

// read gives who, why and how fast. A plan that is not confirmed by its seal is refused before anything else is asked for.
func (a *applyFlags) read(seal string) (by plan.Attribution, pace plan.Pace, err error) {
	if a.confirm != seal {
		return by, pace, unconfirmed(seal)
	}
	if strings.TrimSpace(a.reason) == "" || strings.TrimSpace(a.actor) == "" {
		return by, pace, errors.New("say why and who with --reason TEXT --actor NAME: both are kept with every act")
	}
	if a.canary < 0 {
		return by, pace, errors.New("--canary must not be negative")
	}
	if a.timeout <= 0 {
		return by, pace, errors.New("--timeout must be above 0, such as 30s")
	}
	rate, wrongRate := plan.ParseRate(a.rate)
	share, wrongShare := plan.ParseShare(a.stopAt)
	if err := errors.Join(wrongRate, wrongShare); err != nil {
		return by, pace, fmt.Errorf("--rate takes a rate such as 20/s, --stop-at-errors a share such as 2%%: %w", err)
	}
	return plan.Attribution{Actor: a.actor, Reason: a.reason}, plan.Pace{Canary: a.canary, PerSecond: rate, StopAt: share}, nil
}

// inTime refuses a rate at which a run would give up before the next item's turn, for a verb whose time-out runs for
// the whole run from the last item that was begun: all but the first would end as not begun.
func (a *applyFlags) inTime(pace plan.Pace, items int) error {
	if items < 2 || pace.PerSecond == 0 {
		return nil
	}
	const most = float64(24 * 365 * time.Hour) // more than that is said as that
	apart := time.Duration(min(float64(time.Second)/pace.PerSecond, most))
	if apart < a.timeout {
		return nil
	}
	return fmt.Errorf("nothing was done: at --rate %s the next is begun after %s, and --timeout is %s: give a longer one, such as %s",
		a.rate, apart.Round(time.Millisecond), a.timeout, (apart + a.timeout).Round(time.Millisecond))
}

// readPlan reads a plan of a file, or of stdin where the name is -. One that was altered is refused.
func readPlan[P any](name string, read func([]byte) (P, error)) (P, error) {
	var text []byte
	var none P
	var err error
	if name == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return none, fmt.Errorf("the plan cannot be read: %w", err)
	}
	p, err := read(text)
	if err != nil {
		return none, WithCode(Refused, fmt.Errorf("%s: %w", name, err))
	}
	return p, nil
}

// unconfirmed refuses a plan, and says what would confirm it.
func unconfirmed(seal string) error {
	return WithCode(Refused, fmt.Errorf("nothing was done: %w: read it, then give --confirm %s", plan.ErrUnconfirmed, seal))
}

// applied tells how a plan went, and gives what was refused for safety its exit code and the words that
// allow it.
func (p *program) applied(sum plan.Sum, sha string, err error) error {
	switch {
	case errors.Is(err, plan.ErrUnconfirmed):
		return unconfirmed(sha)
	case errors.Is(err, plan.ErrAltered):
		return WithCode(Refused, fmt.Errorf("nothing was done: %w", err))
	}
	broken := err
	if broken != nil {
		broken, sum.OK = fmt.Errorf("%w: apply the plan again to go on", err), false
		if len(sum.Items) == 0 {
			return broken
		}
	}
	err = nil
	if p.json {
		err = writeJSON(p.Stdout, sum)
	}
	fmt.Fprintf(p.Stderr, "%d verified, %d failed again, %d skipped, %d timed out\n", sum.Verified, sum.FailedAgain, sum.Skipped, sum.TimedOut)
	if broken != nil {
		return errors.Join(err, broken)
	}
	if sum.TimedOut > 0 {
		fmt.Fprintln(p.Stderr, "what has timed out may need its service running: apply the plan again to see what became of it")
	}
	if err == nil && !sum.OK {
		return WithCode(Found, errSilent)
	}
	return err
}

// tellResult prints a result as soon as it is known.
func (p *program) tellResult(r plan.Result) {
	if p.json {
		return
	}
	shown := p.paint(p.Stdout, fmt.Sprintf("%-12s", r.Outcome), resultColour(r.Outcome))
	who := r.ID + "  " + r.Handler + " " + dash(r.OrderID)
	if r.Parked {
		who += " (parked behind it)"
	}
	line := shown + "  " + who
	if r.Detail != "" {
		line += ": " + short(r.Detail, 200)
	}
	fmt.Fprintln(p.Stdout, line)
}

func resultColour(outcome string) colour {
	return map[string]colour{plan.Verified: green, plan.FailedAgain: red, plan.TimedOut: yellow}[outcome]
}

// writePlan writes a plan for people to read: what it is about is in its text, not in its layout.
func writePlan(w io.Writer, plan any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(plan); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}
