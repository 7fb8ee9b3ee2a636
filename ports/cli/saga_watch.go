package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/domain/order"
	saga "millrace/sagas/order"
)

func (p *program) sagaWatch() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a saga until it has ended",
		Long: `Print what reached the saga, and then every message as it comes, until the saga has ended or Ctrl-C is
pressed. A message that comes after the end is not waited for. With --json, an entry a line, as in
"saga show --json".`,
		Example: "  millrace saga watch ord_01k9zq6v3e7x\n  millrace saga watch ord_01k9zq6v3e7x --json",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	every := c.Flags().Duration("every", 500*time.Millisecond, "time between two looks")
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, err := order.ParseID(args[0]); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if *every <= 0 {
			return errors.New("--every must be above 0")
		}
		return with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
			if err := p.watch(c.Context(), s, args[0], *every); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		})
	}
	return c
}

// watch looks again and again. A database that goes away for a while is asked again; the first answer
// must come.
func (p *program) watch(ctx context.Context, s Sagas, id string, every time.Duration) error {
	const patience = 25
	seen, failed := 0, patience
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		h, err := s.Show(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil // whoever watched has seen enough
		case err != nil && (failed == patience || fault.KindOf(err) != fault.Unavailable):
			return err
		case err != nil:
			failed++
		default:
			failed = 0
			ended, err := p.tellNew(h, &seen)
			if ended || err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tellNew prints the entries behind the last one that was seen, and says whether there can be no more.
func (p *program) tellNew(h audit.History, seen *int) (ended bool, err error) {
	for _, c := range storyOf(h).Journal {
		if c.Seq <= *seen {
			continue
		}
		*seen = c.Seq
		if p.json {
			if err := writeJSON(p.Stdout, c); err != nil {
				return false, err
			}
			continue
		}
		p.printLine(c)
	}
	if !h.Chain.OK {
		return false, WithCode(Damaged, fmt.Errorf("the journal was changed or is incomplete from entry %d on (%s): compare it with a backup", h.Chain.BrokenAt, h.Chain.Why))
	}
	step, err := saga.ParseStep(h.Saga.State)
	if err != nil || !step.Terminal() {
		return false, err
	}
	fmt.Fprintf(p.Stderr, "%s %s\n", h.Saga.Status, dash(h.Saga.Reason))
	return true, nil
}

// printLine is a chapter on a line of its own, in columns that fit the longest names there are.
func (p *program) printLine(c chapter) {
	fmt.Fprintf(p.Stdout, "%-3d %s  %-20s %-17s %s  %s", c.Seq, moment(c.At), c.Type, dash(c.By), p.paint(p.Stdout, fmt.Sprintf("%-8s", c.Outcome), outcomeColour(c.Outcome)), c.stateWords())
	if len(c.Sent) > 0 {
		fmt.Fprintf(p.Stdout, "  sends %s", c.sentTypes())
	}
	if c.Error != "" {
		fmt.Fprintf(p.Stdout, "  %s", p.paint(p.Stdout, short(c.Error, 100), red))
	}
	fmt.Fprintln(p.Stdout)
}
