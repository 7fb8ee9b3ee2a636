package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/messages"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

func (p *program) sagaWhatIf() *cobra.Command {
	c := &cobra.Command{
		Use:   "whatif ID | FILE",
		Short: "Decide a history with one change in it",
		Long: `Show the path that a saga would have taken if one thing had been otherwise and everybody else had
said what they said: a message more (--inject, an envelope as it stands in Kafka), one less (--drop),
two in the other order (--reorder), or a while in which nothing came (--advance), so that time-outs ran
out. --at is the entry behind which it happens; without it, the end. It is decided by the version of the
definition that the saga has. Nothing is stored or sent.`,
		Example: "  millrace saga whatif ord_01k9zq6v3e7x --at 2 --advance 15m\n  millrace saga whatif one.ndjson --at 1 --inject cancel.json\n  millrace saga whatif one.ndjson --reorder 2,3",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	f := c.Flags()
	at := f.Int("at", 0, "entry behind which it happens (default: the last)")
	inject := f.String("inject", "", "file with a message's envelope")
	drop := f.Int("drop", 0, "entry that does not come")
	advance := f.Duration("advance", 0, "how long nothing comes")
	reorder := f.String("reorder", "", "two entries that change places, such as 2,3")
	c.RunE = func(c *cobra.Command, args []string) error {
		change := replay.Change{At: *at, Drop: *drop, Advance: *advance}
		given := 0
		for _, name := range []string{"inject", "drop", "advance", "reorder"} {
			if f.Changed(name) {
				given++
			}
		}
		if given != 1 {
			return errors.New("give one of --inject, --drop, --advance and --reorder")
		}
		if err := p.fillChange(&change, *inject, *reorder); err != nil {
			return err
		}
		h, err := p.chosen(c, where(), "", args)
		if err != nil {
			return err
		}
		err = p.whatIf(h, change)
		return errors.Join(err, h.Close())
	}
	return c
}

// fillChange reads what stands in files, in lists and in the environment.
func (p *program) fillChange(c *replay.Change, inject, reorder string) error {
	if inject != "" {
		text, err := os.ReadFile(inject)
		if err != nil {
			return fmt.Errorf("--inject: %w", err)
		}
		e, err := messages.Open(text)
		if err != nil {
			return fmt.Errorf("--inject %s: %w", inject, err)
		}
		c.Inject = &e
	}
	if reorder != "" {
		a, b, _ := strings.Cut(reorder, ",")
		var errA, errB error
		c.Reorder[0], errA = strconv.Atoi(strings.TrimSpace(a))
		c.Reorder[1], errB = strconv.Atoi(strings.TrimSpace(b))
		if errA != nil || errB != nil {
			return fmt.Errorf("--reorder %q: give two entries, such as 2,3", reorder)
		}
	}
	c.Timers = map[string]time.Duration{}
	for timer, variable := range map[string]string{saga.PaymentTimer: "PAYMENT_TIMEOUT", saga.InventoryTimer: "INVENTORY_TIMEOUT"} {
		runs, err := time.ParseDuration(cmp.Or(p.Setting(variable), "30s")) // as for `millrace serve`
		if err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
		c.Timers[timer] = runs
	}
	return nil
}

func (p *program) whatIf(h *Histories, change replay.Change) error {
	if h.Sagas != 1 {
		return fmt.Errorf("the bundle has %d sagas: export the one that is meant", h.Sagas)
	}
	for history, err := range h.All {
		if err != nil {
			return err
		}
		path, err := replay.WhatIf(history, change, replay.Options{})
		if errors.Is(err, replay.ErrVersion) {
			return WithCode(NoCode, fmt.Errorf("%s: %w", history.Saga.OrderID, err))
		}
		var damage *replay.Damage
		if errors.As(err, &damage) {
			return WithCode(Damaged, fmt.Errorf("%s: the history is damaged or incomplete: %w", history.Saga.OrderID, err))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", history.Saga.OrderID, err)
		}
		if p.json {
			return writeJSON(p.Stdout, path)
		}
		p.printPath(path)
	}
	return nil
}

func (p *program) printPath(path replay.Path) {
	rows := make([][]cell, len(path.Steps))
	for i, s := range path.Steps {
		was, colour := strconv.Itoa(s.Was), plain
		if s.Was == 0 {
			was = "new"
		}
		if s.Changed {
			colour = yellow
		}
		state := s.From
		if s.To != s.From {
			state += " → " + s.To
		}
		var sent []string
		for _, m := range s.Sent {
			sent = append(sent, m.Type)
		}
		changed := ""
		if s.Changed {
			changed = "changed"
		}
		rows[i] = []cell{word("%s", was), word("%s", s.On).in(colour), word("%s", s.Outcome), word("%s", state), word("%s", dash(strings.Join(sent, ", "))), word("%s", changed).in(colour)}
	}
	p.table(p.Stdout, []string{"WAS", "MESSAGE", "OUTCOME", "STATE", "SENDS", ""}, rows)
	for _, t := range path.Pending {
		fmt.Fprintf(p.Stdout, "the %s timer of entry %d would run\n", t.Name, t.Entry)
	}
	fmt.Fprintln(p.Stderr, "this is the path that would have been: nothing was stored or sent")
}
