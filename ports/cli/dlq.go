package cli

import (
	"context"
	"fmt"
	"time"

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
		return with(c, p.DeadLetters, where(), ToRead, func(d DeadLetters) error {
			letters, err := d.List(c.Context(), f)
			if err != nil {
				return err
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
