package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"millrace/app/audit"
)

func (p *program) verify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants over everything that is stored",
		Long: `Check that stock and money are conserved, that no order was charged twice, that what has ended stays
ended, that every accepted order exists, and more; one line each. It only reads, also beside running
services: what may merely be under way is looked at again for up to ten seconds before it is called
BROKEN. With --settled nothing may be under way, and the books must match the payment provider's.
Exits 2 when an invariant is broken.`,
		Example: "  millrace verify\n  POSTGRES_HOST=127.0.0.1 millrace verify --settled --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	settled := c.Flags().Bool("settled", false, "require that nothing is under way")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.Verify == nil {
			return missing(c)
		}
		report, err := p.Verify(c.Context(), where(), *settled)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if p.json {
			err = writeJSON(p.Stdout, report)
		} else {
			p.printReport(report)
		}
		if err == nil && !report.OK {
			return WithCode(Found, errSilent)
		}
		return err
	}
	return c
}

func (p *program) printReport(r audit.Report) {
	broken := 0
	rows := make([][]cell, len(r.Invariants))
	for i, one := range r.Invariants {
		verdict := word("ok").in(green)
		if !one.OK {
			broken++
			verdict = word("BROKEN").in(red)
		}
		counts := word("%d checked", one.Checked)
		if !one.OK {
			counts = word("%d checked, %d broken", one.Checked, one.Broken)
		}
		rows[i] = []cell{verdict, word("%s", one.Name), counts}
	}
	p.table(p.Stdout, nil, rows)
	for _, one := range r.Invariants {
		if one.OK {
			continue
		}
		fmt.Fprintf(p.Stdout, "\n%s:\n", one.Name)
		for _, v := range one.Violations {
			fmt.Fprintf(p.Stdout, "  %s\n", v)
		}
		if more := one.Broken - len(one.Violations); more > 0 {
			fmt.Fprintf(p.Stdout, "  and %d more\n", more)
		}
	}
	sum := p.paint(p.Stdout, "all invariants hold", green)
	if broken > 0 {
		sum = p.paint(p.Stdout, fmt.Sprintf("%d of %d invariants are broken", broken, len(r.Invariants)), red)
	}
	o := r.Orders
	fmt.Fprintf(p.Stdout, "\n%s; %d orders: %d confirmed, %d failed, %d cancelled, %d open\n", sum, o.Total, o.Confirmed, o.Failed, o.Cancelled, o.Open)
}
