package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/domain/plan"
	"millrace/sagas/operator"
)

func (p *program) sagaApply() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Do what a plan says, and wait until it has taken effect",
		Long: `Apply a plan of "saga plan" (a file, or - for stdin): an act a transaction, each with a line in the saga's
journal and in the audit. The services must be running, for they carry on what the acts begin. Each saga
is reported as soon as it is known what came of its act:

  VERIFIED      it has left the step; where the act undoes the order, the order has ended; where it sets or
                fires a time-out, the step was entered anew; where it migrates, the other version decides
  FAILED_AGAIN  a dead letter of the order has come since, or a time-out has undone an order that was redriven
  SKIPPED       nothing was done: the saga, or what the participant's books say, has changed since the plan;
                another apply has it in hand; the act failed on it; or the canary or the errors stopped it.
                Or nothing came of it: a cancel overtook the answer that a redrive was to bring
  TIMED_OUT     it was done, and was not heard of within --timeout

Apply the same plan again to go on, after a crash too: what was done is in the audit and is waited for, and
nothing is done twice. What was skipped because it has changed needs a new plan.

Exits 0 when all are VERIFIED, 2 when not, and 5, having done nothing, when the plan was altered or is
not confirmed, or when it has new effects (messages with new ids, money, mails) and there is no
--new-effects.`,
		Example: "  millrace saga apply plan.json --confirm SHA256 --reason 'broker was lost' --actor maya --canary 5 --rate 20/s --stop-at-errors 2%",
		Args:    exactly("PLAN"),
	}
	where, flags := p.whereFlag(c), applyFlagsOf(c)
	fresh := c.Flags().Bool("new-effects", false, "allow what the plan has of messages with new ids, money that is charged or given back, and mails")
	c.RunE = func(c *cobra.Command, args []string) error {
		made, err := readPlan(args[0], operator.ReadPlan)
		if err != nil {
			return err
		}
		by, pace, err := flags.read(made.SHA256)
		if err != nil {
			return err
		}
		r := operator.Request{Confirm: flags.confirm, By: by, NewEffects: *fresh, Timeout: flags.timeout, Pace: pace}
		return with(c, p.Acts, where(), ToChange, func(a Acts) error {
			sum, err := a.Apply(c.Context(), made, r, p.tellResult)
			if errors.Is(err, plan.ErrNewEffects) {
				return WithCode(Refused, fmt.Errorf("nothing was done: %w: if that is meant, give --new-effects", err))
			}
			return p.applied(sum, made.SHA256, err)
		})
	}
	return c
}
