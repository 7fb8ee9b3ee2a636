package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/app/audit"
)

func (p *program) sagaAudit() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit [KEY=VALUE]...",
		Short: "List what operators have done: to sagas, and to dead letters",
		Long: `List every act of an operator, the newest first: when, what, to which saga or dead letter, who, why, what
it sent, which time-out it set, and what became of it. Words of key=value choose some, and all must hold; the keys are
` + actWords + `. act is the name of the action, such as redrive or discard.`,
		Example: "  millrace saga audit since=24h\n  millrace saga audit order=ord_01k9zq6v3e7x\n  millrace saga audit actor=maya act=compensate --json",
		Args:    cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	limit := c.Flags().Int("limit", 50, "how many are listed; all are counted; 0 for all")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := parseActs(args, p.Now())
		if err != nil {
			return err
		}
		if *limit < 0 {
			return errors.New("--limit must not be negative; 0 lists all")
		}
		return with(c, p.Acts, where(), ToRead, func(a Acts) error {
			all, err := a.Audit(c.Context(), f)
			if err != nil {
				return err
			}
			shown := all
			if *limit > 0 {
				shown = all[:min(*limit, len(all))]
			}
			if p.json {
				return writeJSON(p.Stdout, struct {
					Total int            `json:"total"`
					Items []audit.Record `json:"items"`
				}{len(all), shown})
			}
			p.printActs(shown)
			fmt.Fprintf(p.Stderr, "%d acts\n", len(all))
			return nil
		})
	}
	return c
}

func (p *program) printActs(acts []audit.Record) {
	rows := make([][]cell, len(acts))
	for i, a := range acts {
		rows[i] = []cell{
			word("%s", moment(a.At)), word("%s", a.Act), word("%s", a.Target), word("%s", a.Actor), word("%s", short(a.Reason, 60)),
			word("%s", dash(a.Outcome)).in(resultColour(a.Outcome)), word("%s", short(dash(a.Detail), 60)),
		}
	}
	p.table(p.Stdout, []string{"AT", "ACT", "TARGET", "WHO", "WHY", "OUTCOME", ""}, rows)
}
