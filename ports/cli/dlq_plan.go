package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"millrace/app/deadletters"
)

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
		return with(c, p.DeadLetters, where(), ToRead, func(d DeadLetters) error {
			plan, err := d.Plan(c.Context(), f, words(args), action, *settle)
			if err != nil {
				return err
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
