package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"millrace/app/deadletters"
	"millrace/domain/plan"
)

// DeadLetters is where an operator deals with what the services gave up; app/deadletters.Desk.
type DeadLetters interface {
	List(ctx context.Context, f deadletters.Filter) ([]deadletters.Letter, error)
	Show(ctx context.Context, id string) (deadletters.Whole, error)
	Plan(ctx context.Context, f deadletters.Filter, words, action, outcome string) (deadletters.Plan, error)
	Apply(ctx context.Context, p deadletters.Plan, r deadletters.Request, tell func(plan.Result)) (plan.Sum, error)
}

func (p *program) dlq() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Deal with dead letters: messages and acts that were given up",
		Long: `A message that its handler refuses becomes a dead letter, and later messages of the same order wait
behind it at that consumer. An act that is refused for good, such as a refund, is a dead letter too.
List them, show one, plan what is to be done, and apply the plan: it says of each letter whether it
took effect.`,
		Example: "  millrace dlq list\n  millrace dlq plan handler=reserve_stock > plan.json",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.dlqList(), p.dlqShow(), p.dlqPlan(), p.dlqApply())
	return c
}

// withLetters opens the dead letters for one verb; act says that it will change them.
func (p *program) withLetters(c *cobra.Command, where Where, act bool, do func(DeadLetters) error) error {
	if p.DeadLetters == nil {
		return missing(c)
	}
	letters, closeAll, err := p.DeadLetters(c.Context(), where, act)
	if err != nil {
		return fmt.Errorf("dlq %s: %w", c.Name(), err)
	}
	err = do(letters)
	if closeAll != nil {
		err = errors.Join(err, closeAll())
	}
	return err
}

func (p *program) dlqList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [KEY=VALUE]...",
		Short: "Count dead letters by handler and reason",
		Long: `Count dead letters by service, handler and reason, with the age of the oldest and the messages that are
parked behind them. Words of key=value choose some, and all must hold; the keys are ` + letterWords + `.
Without state= it is those that wait for a person. since, until and older are about the last attempt.
With --each every letter has a line, with its id.`,
		Example: "  millrace dlq list\n  millrace dlq list service=payment-service older=1h --each\n  millrace dlq list state=parked --json",
		Args:    cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	each := c.Flags().Bool("each", false, "a line for every letter")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := parseLetters(args, p.Now())
		if err != nil {
			return err
		}
		if f.State == "" && f.ID == "" {
			f.State = deadletters.Waiting
		}
		return p.withLetters(c, where(), false, func(d DeadLetters) error {
			letters, err := d.List(c.Context(), f)
			if err != nil {
				return fmt.Errorf("dlq list: %w", err)
			}
			groups := deadletters.Groups(letters)
			if p.json {
				return writeJSON(p.Stdout, struct {
					Total  int                  `json:"total"`
					Groups []deadletters.Group  `json:"groups"`
					Items  []deadletters.Letter `json:"items"`
				}{len(letters), groups, letters})
			}
			if *each {
				p.printLetters(letters)
			} else {
				p.printGroups(groups)
			}
			fmt.Fprintf(p.Stderr, "%d dead letters\n", len(letters))
			return nil
		})
	}
	return c
}

func (p *program) printGroups(groups []deadletters.Group) {
	rows := make([][]cell, len(groups))
	for i, g := range groups {
		rows[i] = []cell{
			word("%s", g.Service), word("%s", g.Handler), word("%s", dash(g.Reason)), p.stateWord(g.State),
			word("%d", g.Count), word("%d", g.Parked), word("%s", p.age(g.Oldest)),
		}
	}
	p.table(p.Stdout, []string{"SERVICE", "HANDLER", "REASON", "STATE", "COUNT", "PARKED", "OLDEST"}, rows)
}

func (p *program) printLetters(letters []deadletters.Letter) {
	rows := make([][]cell, len(letters))
	for i, l := range letters {
		rows[i] = []cell{
			word("%s", l.ID), p.stateWord(l.State), word("%s", l.Handler), word("%s", dash(l.OrderID)), word("%s", dash(l.Type)),
			word("%s", dash(l.Reason)), word("%d", l.Redrives), word("%d", l.Parked), word("%s", p.age(l.LastAt)),
		}
	}
	p.table(p.Stdout, []string{"ID", "STATE", "HANDLER", "ORDER", "TYPE", "REASON", "REDRIVES", "PARKED", "AGE"}, rows)
}

func (p *program) stateWord(state string) cell {
	colours := map[string]colour{deadletters.Waiting: red, deadletters.Parked: yellow, deadletters.Redriving: yellow, deadletters.Done: green}
	return word("%s", state).in(colours[state])
}

func (p *program) age(t time.Time) string { return p.Now().Sub(t).Round(time.Second).String() }

func (p *program) dlqShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything about one dead letter",
		Long: `Show what was refused, by whom and why, the record with its headers and bytes, what waits behind it,
and everything that was done about it. In JSON key and payload are base64.`,
		Example: "  millrace dlq show 5f3c1a52-9b0e-5d0e-8a43-0c9f3c1d7e11\n  millrace dlq show ord_1:refund --json",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.withLetters(c, where(), false, func(d DeadLetters) error {
			letter, err := d.Show(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("dlq show %s: %w", args[0], err)
			}
			if p.json {
				return writeJSON(p.Stdout, letter)
			}
			p.printLetter(letter)
			return nil
		})
	}
	return c
}

func (p *program) printLetter(l deadletters.Whole) {
	place := "an act in the outside world"
	if l.Topic != "" {
		place = fmt.Sprintf("%s[%d]@%d, key %s", l.Topic, l.Partition, l.Offset, dash(text(l.Key)))
	}
	rows := [][]cell{
		{word("id").in(faint), word("%s", l.ID)},
		{word("state").in(faint), p.stateWord(l.State)},
		{word("consumer").in(faint), word("%s", l.Consumer)},
		{word("handler").in(faint), word("%s", l.Handler)},
		{word("order").in(faint), word("%s", dash(l.OrderID))},
		{word("message").in(faint), word("%s %s", dash(l.Type), l.MessageID)},
		{word("read at").in(faint), word("%s", place)},
		{word("reason").in(faint), word("%s", dash(l.Reason))},
		{word("error").in(faint), word("%s", dash(short(l.Error, 1000)))},
		{word("attempts").in(faint), word("%d, from %s to %s", l.Attempts, moment(l.FirstAt), moment(l.LastAt))},
		{word("redrives").in(faint), word("%d", l.Redrives)},
		{word("parked").in(faint), word("%d messages wait behind it", l.Parked)},
	}
	p.table(p.Stdout, nil, rows)
	fmt.Fprintln(p.Stdout)
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		fmt.Fprintf(p.Stdout, "%s: %s\n", name, short(l.Headers[name], 300))
	}
	fmt.Fprintf(p.Stdout, "\n%s\n", text(l.Payload))
	if len(l.Behind) > 0 {
		fmt.Fprintln(p.Stdout)
		p.printLetters(l.Behind)
	}
	if len(l.Log) == 0 {
		return
	}
	fmt.Fprintln(p.Stdout)
	lines := make([][]cell, len(l.Log))
	for i, line := range l.Log {
		lines[i] = []cell{word("%s", moment(line.At)), word("%s", line.Act), word("%s", dash(line.Actor)), word("%s", dash(line.Reason))}
	}
	p.table(p.Stdout, []string{"AT", "WHAT", "WHO", "WHY"}, lines)
}

// text shows bytes as they are where a terminal can, and as base64 otherwise.
func text(b []byte) string {
	if !utf8.Valid(b) || strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	return string(b)
}

func (p *program) dlqPlan() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [KEY=VALUE]...",
		Short: "Write a plan of what is to be done; it does nothing itself",
		Long: `Write to stdout what "dlq apply" is to do with the dead letters that wait and that the words choose
(as in "dlq list"): send them again to the handler that refused them, which is the default; discard
them; or settle refused acts with the outcome that you know of (a refund: refunded; a capture: captured,
declined or voided; a void: voided; a mail: sent). Each letter is pinned as it is now, with what can come of
it (mails, and money that is charged or given back, also by what is parked behind it), and the plan has
a sha256, which is its confirmation. With state=redriving it is those that were sent and never came.`,
		Example: "  millrace dlq plan handler=reserve_stock reason=bad_data > plan.json\n" +
			"  millrace dlq plan id=5f3c1a52-9b0e-5d0e-8a43-0c9f3c1d7e11 --discard > plan.json\n" +
			"  millrace dlq plan handler=intent_refund order=ord_1 --settle refunded > plan.json",
		Args: cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	discard := c.Flags().Bool("discard", false, "the letters shall never take effect; what waits behind them goes on")
	settle := c.Flags().String("settle", "", "state what became of a refused act")
	c.MarkFlagsMutuallyExclusive("discard", "settle")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := parseLetters(args, p.Now())
		if err != nil {
			return err
		}
		action := deadletters.ActRedrive
		switch {
		case *discard:
			action = deadletters.ActDiscard
		case *settle != "":
			action = deadletters.ActSettle
		}
		return p.withLetters(c, where(), false, func(d DeadLetters) error {
			plan, err := d.Plan(c.Context(), f, words(args), action, *settle)
			if err != nil {
				return fmt.Errorf("dlq plan: %w", err)
			}
			if err := writePlan(p.Stdout, plan); err != nil {
				return err
			}
			if len(plan.Items) == 0 {
				fmt.Fprintln(p.Stderr, "nothing to do: no dead letter fits")
				return nil
			}
			p.explainLetters(plan)
			return nil
		})
	}
	return c
}

// shownEffects is how many letters of a plan are told of one by one; the plan has them all.
const shownEffects = 10

// explainLetters says to people what can come of a plan, and how to have it carried out.
func (p *program) explainLetters(made deadletters.Plan) {
	moving := slices.DeleteFunc(slices.Clone(made.Items), func(i deadletters.Item) bool { return !i.Effects.Moves() })
	for _, i := range moving[:min(len(moving), shownEffects)] {
		fmt.Fprintf(p.Stderr, "%s  %s %s: %s\n", i.ID, i.Handler, dash(i.OrderID), i.Effects)
	}
	if more := len(moving) - shownEffects; more > 0 {
		fmt.Fprintf(p.Stderr, "and %d more\n", more)
	}
	flag := ""
	if len(moving) > 0 {
		flag = " --new-effects"
	}
	fmt.Fprintf(p.Stderr, "%s: read the plan, then\n  millrace dlq apply PLAN --confirm %s --reason TEXT --actor NAME%s\n", made, made.SHA256, flag)
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

func (p *program) dlqApply() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Do what a plan says, and wait until it has taken effect",
		Long: `Apply a plan of "dlq plan" (a file, or - for stdin). Letters of one order are dealt with one after the
other, and what is parked behind them follows in order. Each is reported: VERIFIED (it took effect),
FAILED_AGAIN (it is a dead letter again), SKIPPED (nothing was done) or TIMED_OUT (sent, and not handled
before --timeout: the services may be down). Apply the same plan again to go on: nothing is done twice.
What was done is kept: see "saga audit".

A letter is SKIPPED when it has changed since the plan; when one in front of it is in the way or has failed
again; when it has come to charge, give money back or mail since the plan and there is no --new-effects;
when another apply, of letters or of sagas, has its order in hand (wait until that has ended, or apply that plan
again: the plan is named); when the canary or the errors stopped it; when it was not begun in time; or when the
act failed on it.

Exits 0 when all are VERIFIED, 2 when not, and 5, having done nothing, when the plan was altered or is
not confirmed, when it can charge, give money back or mail and there is no --new-effects, or when a letter
was sent again three times already and there is no --force.`,
		Example: "  millrace dlq apply plan.json --confirm SHA256 --reason 'catalog mended' --actor maya",
		Args:    exactly("PLAN"),
	}
	where, flags := p.whereFlag(c), applyFlagsOf(c)
	fresh := c.Flags().Bool("new-effects", false, "allow what charges, gives money back, or mails")
	force := c.Flags().Bool("force", false, "send again even what was sent again three times already")
	c.RunE = func(c *cobra.Command, args []string) error {
		letters, err := readPlan(c, args[0], deadletters.ReadPlan)
		if err != nil {
			return err
		}
		by, pace, err := flags.read(c, letters.SHA256)
		if err != nil {
			return err
		}
		if err := flags.inTime(c, pace, len(letters.Items)); err != nil {
			return err
		}
		r := deadletters.Request{Confirm: flags.confirm, By: by, Force: *force, NewEffects: *fresh, Timeout: flags.timeout, Pace: pace}
		return p.withLetters(c, where(), true, func(d DeadLetters) error {
			sum, err := d.Apply(c.Context(), letters, r, p.tellResult)
			if errors.Is(err, plan.ErrNewEffects) {
				return WithCode(Refused, fmt.Errorf("dlq apply: nothing was done: %w: if that is meant, give --new-effects", err))
			}
			if errors.Is(err, deadletters.ErrTooOften) {
				return WithCode(Refused, fmt.Errorf("dlq apply: nothing was done: %w: find out why, then give --force with the reason", err))
			}
			return p.applied(c, sum, letters.SHA256, err)
		})
	}
	return c
}
