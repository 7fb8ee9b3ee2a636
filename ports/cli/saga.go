package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/domain/order"
)

func (p *program) saga() *cobra.Command {
	c := &cobra.Command{
		Use:     "saga",
		Short:   "See what the sagas are doing, and put right what stands still",
		Long:    "List sagas, show the journal of one, draw its picture, and decide histories again. Only apply acts on a saga, by a plan that was confirmed.",
		Example: "  millrace saga list stuck=true\n  millrace saga graph > saga.mmd\n  millrace saga replay --query since=1h",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.sagaList(), p.sagaShow(), p.sagaWatch(), p.sagaGraph(), p.sagaDrain(), p.sagaExport(), p.sagaReplay(), p.sagaShadow(), p.sagaWhatIf(), p.sagaBisect(), p.sagaCorpus(),
		p.sagaPlan(), p.sagaApply(), p.sagaAudit())
	return c
}

func (p *program) sagaList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [KEY=VALUE]...",
		Short: "List sagas, newest first, and count them",
		Long: `List the sagas that a query chooses. A query is words of key=value that must all hold; without words
it is all. The keys are ` + queryWords + `:
since and until are a time or an age (15m) of the order, older is the age in the present state, and
stuck=true are those that are open and have stood still for longer than any time-out would let them.`,
		Example: "  millrace saga list state=awaiting_payment older=1m\n  millrace saga list status=FAILED since=24h --limit 0 --json",
		Args:    cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	limit := c.Flags().Int("limit", 50, "how many are listed; all are counted; 0 for all")
	c.RunE = func(c *cobra.Command, args []string) error {
		q, err := parseQuery(args, p.Now())
		if err != nil {
			return err
		}
		if q.Limit = *limit; q.Limit < 0 {
			return errors.New("--limit must not be negative; 0 lists all")
		}
		return with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
			list, err := s.List(c.Context(), q)
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(p.Stdout, list)
			}
			p.printSagas(list)
			return nil
		})
	}
	return c
}

func (p *program) printSagas(list audit.Sagas) {
	rows := make([][]cell, len(list.Items))
	for i, s := range list.Items {
		age := p.Now().Sub(s.EnteredAt).Round(time.Second).String()
		stuck := cell{}
		if s.Stuck {
			stuck = word("stuck").in(red)
		}
		rows[i] = []cell{
			word("%s", s.OrderID), word("%s", s.State).in(statusColour(s.State)), word("%s", dash(s.Reason)),
			word("%s", s.UserID), word("%s", amount(s.Total, s.Currency)), word("%s", moment(s.PlacedAt)), word("%s", age), stuck,
		}
	}
	p.table(p.Stdout, []string{"ORDER", "STATE", "REASON", "USER", "TOTAL", "PLACED", "SINCE", ""}, rows)
	counts := make([]string, 0, len(list.States))
	for _, state := range slices.Sorted(maps.Keys(list.States)) {
		counts = append(counts, fmt.Sprintf("%d %s", list.States[state], state))
	}
	fmt.Fprintf(p.Stderr, "%d sagas: %s\n", list.Total, dash(strings.Join(counts, ", ")))
	var more []string
	for _, reason := range slices.Sorted(maps.Keys(list.Reasons)) {
		more = append(more, fmt.Sprintf("%d for %s", list.Reasons[reason], reason))
	}
	for _, version := range slices.Sorted(maps.Keys(list.Versions)) {
		more = append(more, fmt.Sprintf("%d of version %d", list.Versions[version], version))
	}
	if list.Stuck > 0 {
		more = append(more, fmt.Sprintf("%d stuck", list.Stuck))
	}
	if len(more) > 0 {
		fmt.Fprintln(p.Stderr, strings.Join(more, ", "))
	}
}

func (p *program) sagaShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show the journal of an order's saga",
		Long: `Show every message that reached the saga and who sent it, what it changed, decided and sent, and which
entry answered that; the attempts that failed, the timers that are due, and what is left: which messages
would lead on from here, and where to. The traces and the dead letters of the order stand above, a trace with its link where TRACE_URL says
where traces are looked at.
The journal's chain of hashes is computed again; when it does not fit, the exit code is 3. Entries
that were archived are in the file that is named; "millrace saga replay" reads it. --json has the
messages and states in full.`,
		Example: "  millrace saga show ord_01k9zq6v3e7x\n  millrace saga show ord_01k9zq6v3e7x --at 2 --json",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	at := c.Flags().String("at", "", "show it as it was: behind an entry's number, or at a time or age")
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, err := order.ParseID(args[0]); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		return with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
			h, err := s.Show(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if *at != "" {
				if h, err = p.asOf(h, *at); err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
			}
			if p.json {
				err = writeJSON(p.Stdout, storyOf(h))
			} else {
				err = p.printStory(storyOf(h))
			}
			if err == nil && !h.Chain.OK {
				return WithCode(Damaged, fmt.Errorf("%s: the journal was changed or is incomplete from entry %d on (%s): compare it with a backup", args[0], h.Chain.BrokenAt, h.Chain.Why))
			}
			return err
		})
	}
	return c
}

func (p *program) printStory(h story) error {
	viewer, err := p.traceViewer()
	if err != nil {
		return err
	}
	s := h.Saga
	chain := word("ok, %d entries", h.Chain.Entries).in(green)
	if !h.Chain.OK {
		chain = word("BROKEN at entry %d: %s", h.Chain.BrokenAt, h.Chain.Why).in(red)
	}
	rows := [][]cell{
		{word("order").in(faint), word("%s", s.OrderID), word("%s", s.Status).in(statusColour(s.Status))},
		{word("reason").in(faint), word("%s", dash(s.Reason))},
		{word("state").in(faint), word("%s", s.State).in(statusColour(s.State)), word("since %s", moment(s.EnteredAt))},
		{word("definition").in(faint), word("%d", s.Definition), word("version %d", s.Version)},
		{word("chain").in(faint), chain},
	}
	if h.Archived != nil {
		rows = append(rows, []cell{word("archived").in(faint), word("%d entries", h.Archived.Entries), word("%s", h.Archived.File)})
	}
	for _, id := range h.Traces {
		rows = append(rows, []cell{word("trace").in(faint), word("%s", id), word("%s", traceLink(viewer, id))})
	}
	for _, t := range h.Timers {
		rows = append(rows, []cell{word("timer").in(faint), word("%s", t.Name), word("due %s", moment(t.Due))})
	}
	p.table(p.Stdout, nil, rows)
	p.printWaiting(h)
	fmt.Fprintln(p.Stdout)
	lines := make([][]cell, len(h.Journal))
	for i, e := range h.Journal {
		lines[i] = append([]cell{word("%d", e.Seq)}, e.words()...)
	}
	p.table(p.Stdout, []string{"SEQ", "AT", "MESSAGE", "OF", "OUTCOME", "STATE", "SENT (ANSWERED BY)", "TIMERS", "CHANGED", ""}, lines)
	if len(h.Left) == 0 {
		return nil
	}
	fmt.Fprintln(p.Stdout)
	left := make([][]cell, len(h.Left))
	for i, w := range h.Left {
		left[i] = w.words()
	}
	p.table(p.Stdout, nil, left)
	return nil
}

func (p *program) printWaiting(h story) {
	waiting := h.waiting()
	rows := make([][]cell, len(waiting))
	for i, l := range waiting {
		rows[i] = []cell{
			word("dead letter").in(faint), word("%s", l.State).in(red), word("%s", l.Type), word("%s, %s: %s", l.Service, l.Handler, l.Reason),
			word("millrace dlq show %s", l.ID),
		}
	}
	p.table(p.Stdout, nil, rows)
}

// words are a chapter's, without its number.
func (c chapter) words() []cell {
	return []cell{
		word("%s", moment(c.At)), word("%s", c.Type), word("%s", dash(c.By)), word("%s", c.Outcome).in(outcomeColour(c.Outcome)), word("%s", c.stateWords()),
		word("%s", dash(c.sentWords())), word("%s", dash(c.timerWords())), word("%s", dash(c.changed())), word("%s", short(c.Error, 100)).in(red),
	}
}
