package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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

// withActs opens the sagas to act on them; change says that it will change them.
func (p *program) withActs(c *cobra.Command, where Where, change bool, do func(Acts) error) error {
	if p.Acts == nil {
		return missing(c)
	}
	acts, closeAll, err := p.Acts(c.Context(), where, change)
	if err != nil {
		return fmt.Errorf("saga %s: %w", c.Name(), err)
	}
	err = do(acts)
	if closeAll != nil {
		err = errors.Join(err, closeAll())
	}
	return err
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
				return fmt.Errorf("%s takes one of %s: `%s --help` says what each does", c.CommandPath(), names(saga.Acts), c.CommandPath())
			}
			_, err := saga.ParseAct(args[0])
			if err != nil {
				return fmt.Errorf("saga plan %s: it is one of %s", args[0], names(saga.Acts))
			}
			return nil
		},
	}
	where := p.whereFlag(c)
	to := c.Flags().Int("to", saga.Version, "for migrate: the version of the definition that is to decide from here on")
	query := c.Flags().String("query", "", "words of key=value that choose among the open sagas, such as 'state=awaiting_inventory older=15m'; '' is all of them (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("query") {
			return errors.New("saga plan: say which sagas with --query 'KEY=VALUE …'; --query '' is all that are open")
		}
		act, err := saga.ParseAct(args[0])
		if err != nil {
			return err
		}
		version := 0
		if act == saga.ToVersion {
			version = *to
			if _, has := saga.Of(version); !has {
				return WithCode(NoCode, fmt.Errorf("saga plan migrate: this build has no version %d of the definition: give --to one from 1 to %d", version, saga.Version))
			}
		} else if c.Flags().Changed("to") {
			return fmt.Errorf("saga plan %s: --to is for migrate", act)
		}
		q, err := parseQuery([]string{*query}, p.Now())
		if err != nil {
			return err
		}
		var open []operator.Chosen
		if err := p.withSagas(c, where(), func(s Sagas) error {
			list, err := s.List(c.Context(), q)
			for _, one := range list.Items {
				if step, err := saga.ParseStep(one.State); err != nil || !step.Terminal() { // one that nobody knows is refused by name
					open = append(open, operator.Chosen{OrderID: one.OrderID, Version: one.Version})
				}
			}
			return err
		}); err != nil {
			return fmt.Errorf("saga plan: %w", err)
		}
		return p.withActs(c, where(), false, func(a Acts) error {
			made, err := a.Plan(c.Context(), act, version, strings.Join(strings.Fields(*query), " "), open)
			if err != nil {
				return fmt.Errorf("saga plan: %w", err)
			}
			if err := writePlan(p.Stdout, made); err != nil {
				return err
			}
			p.explain(made)
			return nil
		})
	}
	return c
}

// explain says to people what a plan would do, and how to have it done.
func (p *program) explain(made operator.Plan) {
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
		made, err := readPlan(c, args[0], operator.ReadPlan)
		if err != nil {
			return err
		}
		by, pace, err := flags.read(c, made.SHA256)
		if err != nil {
			return err
		}
		r := operator.Request{Confirm: flags.confirm, By: by, NewEffects: *fresh, Timeout: flags.timeout, Pace: pace}
		return p.withActs(c, where(), true, func(a Acts) error {
			sum, err := a.Apply(c.Context(), made, r, p.tellResult)
			if errors.Is(err, plan.ErrNewEffects) {
				return WithCode(Refused, fmt.Errorf("saga apply: nothing was done: %w: if that is meant, give --new-effects", err))
			}
			return p.applied(c, sum, made.SHA256, err)
		})
	}
	return c
}

// actWords is what a filter of acts is made of.
const actWords = "order, act, actor, plan, since, until"

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
			return errors.New("saga audit: --limit must not be negative; 0 lists all")
		}
		return p.withActs(c, where(), false, func(a Acts) error {
			all, err := a.Audit(c.Context(), f)
			if err != nil {
				return fmt.Errorf("saga audit: %w", err)
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
	colours := map[string]colour{plan.Verified: green, plan.FailedAgain: red, plan.TimedOut: yellow}
	rows := make([][]cell, len(acts))
	for i, a := range acts {
		rows[i] = []cell{
			word("%s", moment(a.At)), word("%s", a.Act), word("%s", a.Target), word("%s", a.Actor), word("%s", short(a.Reason, 60)),
			word("%s", dash(a.Outcome)).in(colours[a.Outcome]), word("%s", short(dash(a.Detail), 60)),
		}
	}
	p.table(p.Stdout, []string{"AT", "ACT", "TARGET", "WHO", "WHY", "OUTCOME", ""}, rows)
}

// parseActs reads words of key=value that must all hold, as parseQuery does.
func parseActs(words []string, now time.Time) (audit.RecordFilter, error) {
	var f audit.RecordFilter
	given := map[string]bool{}
	for _, w := range strings.Fields(strings.Join(words, " ")) {
		key, value, ok := strings.Cut(w, "=")
		if !ok || value == "" {
			return f, fmt.Errorf("filter: %q is not key=value with a key of %s", w, actWords)
		}
		if given[key] {
			return f, fmt.Errorf("filter: %s stands there twice: all words must hold, so give it once", key)
		}
		given[key] = true
		var err error
		switch key {
		case "order":
			f.OrderID = value
		case "act":
			f.Act = value
		case "actor":
			f.Actor = value
		case "plan":
			f.Plan = value
		case "since":
			f.Since, err = timeOrAge(key, value, now)
		case "until":
			f.Until, err = timeOrAge(key, value, now)
		default:
			err = fmt.Errorf("there is no %q: the keys are %s", key, actWords)
		}
		if err != nil {
			return f, fmt.Errorf("filter: %s", strings.TrimPrefix(err.Error(), "query: "))
		}
	}
	return f, nil
}
