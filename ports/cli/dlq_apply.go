package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/app/deadletters"
	"millrace/domain/plan"
)

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
		letters, err := readPlan(args[0], deadletters.ReadPlan)
		if err != nil {
			return err
		}
		by, pace, err := flags.read(letters.SHA256)
		if err != nil {
			return err
		}
		if err := flags.inTime(pace, len(letters.Items)); err != nil {
			return err
		}
		r := deadletters.Request{Confirm: flags.confirm, By: by, Force: *force, NewEffects: *fresh, Timeout: flags.timeout, Pace: pace}
		return with(c, p.DeadLetters, where(), ToChange, func(d DeadLetters) error {
			sum, err := d.Apply(c.Context(), letters, r, p.tellResult)
			if errors.Is(err, plan.ErrNewEffects) {
				return WithCode(Refused, fmt.Errorf("nothing was done: %w: if that is meant, give --new-effects", err))
			}
			if errors.Is(err, deadletters.ErrTooOften) {
				return WithCode(Refused, fmt.Errorf("nothing was done: %w: find out why, then give --force with the reason", err))
			}
			return p.applied(sum, letters.SHA256, err)
		})
	}
	return c
}
