package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/domain/plan"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// Acts is where an operator acts on sagas, and sees who has acted on what.
type Acts interface {
	Plan(ctx context.Context, act saga.Act, version int, words string, chosen []operator.Chosen) (operator.Plan, error)
	Apply(ctx context.Context, p operator.Plan, r operator.Request, tell func(plan.Result)) (plan.Sum, error)
	Audit(ctx context.Context, f audit.RecordFilter) ([]audit.Record, error)
}

func (p *program) sagaPlan() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan ACTION --query QUERY",
		Short: "Write a plan of what is to be done to sagas; it does nothing itself",
		Long: `Write to stdout, as JSON, what "saga apply" is to do to the open sagas that a query chooses. Planning
changes nothing. Each saga is pinned at the version in which it was chosen, with all that the act does: the
messages that are sent again under the id that they have, "deduplicated" where all who receive them have
them in their inbox, and "late" where they never came to somebody and take effect now; the messages with new
ids; the time-out that is set; the mail, and the money that may be charged or given back. The plan has a
sha256, which is its confirmation. The actions, and the states in which a saga can take them:

  redrive     all open     send again what set the step off, and its answer if one was given, as long as
                           an outbox still has them; no id is new
  resume      awaiting_*   wait for the answer for a whole time-out more
  migrate     all open     let another version of the definition decide from here on; --to says which
  fire-timer  awaiting_*   let the time-out run out now: the order is undone and ends FAILED, unless its
                           version waits once more first
  skip-step   all but new  take the answer that stands in the participant's own books, instead of waiting
                           for its message; refused where the books have none
  retry-step  undoing_*    send the command of the undo again, under a new id; refused while payment's
                           books say that it is at the undo
  compensate  new,         cancel the order in the customer's name: it is undone and ends CANCELLED
              awaiting_*

retry-step and compensate have new effects, fire-timer and skip-step where they undo or end the order or ask
for a refund, redrive where payment never had the message and charges or gives back because of it now; "saga
apply" wants --new-effects for those. The time-outs are PAYMENT_TIMEOUT and
INVENTORY_TIMEOUT of the environment in which the plan is made: give it that of the services.

The query is that of "saga list": words of key=value that must all hold, with the keys
` + queryWords + `.
A saga for which the action would lose something or has no meaning, that cannot be read, or that moved
while the plan was made, stands under "refused" with the reason.`,
		Example: "  millrace saga plan redrive --query 'state=awaiting_inventory stuck=true' > plan.json\n" +
			"  millrace saga plan compensate --query 'sku=SKU-LOW older=1h' > plan.json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("it takes one of %s: `%s --help` says what each does", strings.Join(names(saga.Acts), ", "), c.CommandPath())
			}
			if _, err := saga.ParseAct(args[0]); err != nil {
				return fmt.Errorf("%s: %w", args[0], oneOf(names(saga.Acts)))
			}
			return nil
		},
	}
	where := p.whereFlag(c)
	to := c.Flags().Int("to", saga.Version, "for migrate: the version of the definition that is to decide from here on")
	query := c.Flags().String("query", "", "words of key=value that choose among the open sagas, such as 'state=awaiting_inventory older=15m'; '' is all of them (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("query") {
			return errors.New("say which sagas with --query 'KEY=VALUE …'; --query '' is all that are open")
		}
		act, err := saga.ParseAct(args[0])
		if err != nil {
			return err
		}
		version := 0
		if act == saga.ToVersion {
			version = *to
			if _, has := saga.Of(version); !has {
				return WithCode(NoCode, fmt.Errorf("migrate: this build has no version %d of the definition: give --to one from 1 to %d", version, saga.Version))
			}
		} else if c.Flags().Changed("to") {
			return fmt.Errorf("%s: --to is for migrate", act)
		}
		q, err := parseQuery([]string{*query}, p.Now())
		if err != nil {
			return err
		}
		var open []operator.Chosen
		if err := with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
			open, err = openSagas(c.Context(), s, q)
			return err
		}); err != nil {
			return err
		}
		return with(c, p.Acts, where(), ToRead, func(a Acts) error {
			made, err := a.Plan(c.Context(), act, version, strings.Join(strings.Fields(*query), " "), open)
			if err != nil {
				return err
			}
			if err := writePlan(p.Stdout, made); err != nil {
				return err
			}
			p.explainSagas(made)
			return nil
		})
	}
	return c
}

// openSagas pins those that a query chooses and that have not ended. One in a step that nobody knows counts as open:
// the plan refuses it by name.
func openSagas(ctx context.Context, s Sagas, q audit.Query) ([]operator.Chosen, error) {
	list, err := s.List(ctx, q)
	var open []operator.Chosen
	for _, one := range list.Items {
		if step, unknown := saga.ParseStep(one.State); unknown != nil || !step.Terminal() {
			open = append(open, operator.Chosen{OrderID: one.OrderID, Version: one.Version})
		}
	}
	return open, err
}

// explainSagas says to people what a plan would do, and how to have it done.
func (p *program) explainSagas(made operator.Plan) {
	if len(made.Refused) > 0 {
		fmt.Fprintf(p.Stderr, "%d sagas are not to be acted on; the first: %s: %s\n", len(made.Refused), made.Refused[0].OrderID, made.Refused[0].Why)
	}
	switch {
	case len(made.Items) > 0:
	case len(made.Refused) > 0:
		fmt.Fprintf(p.Stderr, "nothing to do: all %d are refused\n", len(made.Refused))
		return
	default:
		fmt.Fprintln(p.Stderr, "nothing to do: no open saga fits")
		return
	}
	if n := made.Totals.Handled; n > 0 {
		fmt.Fprintf(p.Stderr, "%d of the messages have been handled by all who receive them: sent again they come to nothing\n", n)
	}
	flag := ""
	if made.NewEffects() {
		flag = " --new-effects"
	}
	fmt.Fprintf(p.Stderr, "%s: read the plan, then\n  millrace saga apply PLAN --confirm %s --reason TEXT --actor NAME%s\n", made, made.SHA256, flag)
}
