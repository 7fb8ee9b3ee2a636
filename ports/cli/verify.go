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
BROKEN. With --settled nothing may be under way, and the books must match the payment provider's; where
that is no server (PSP_URL=inprocess) it says that they could not be checked. Exits 2 when an invariant is
broken.

The provider's ledger is read at PSP_URL. Without that it is the one in the folder of the data; in PostgreSQL that
of the "millrace up" which runs on it with .millrace as its folder, or the one at 127.0.0.1:8086.`,
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
			return err
		}
		if p.json {
			err = writeJSON(p.Stdout, report)
			p.tellUnchecked(report)
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

// tellUnchecked says to people what JSON has no word for: nothing is wrong with it, and nobody has looked.
func (p *program) tellUnchecked(r audit.Report) {
	for _, one := range r.Invariants {
		if one.Unchecked != "" {
			fmt.Fprintf(p.Stderr, "%s could not be checked: %s\n", one.Name, one.Unchecked)
		}
	}
}

func (p *program) printReport(r audit.Report) {
	rows := make([][]cell, len(r.Invariants))
	for i, one := range r.Invariants {
		rows[i] = verdictWords(one)
	}
	p.table(p.Stdout, nil, rows)
	p.printViolations(r)
	o := r.Orders
	fmt.Fprintf(p.Stdout, "\n%s; %d orders: %d confirmed, %d failed, %d cancelled, %d open\n", p.sumOf(r), o.Total, o.Confirmed, o.Failed, o.Cancelled, o.Open)
}

func verdictWords(one audit.Invariant) []cell {
	name := word("%s", one.Name)
	switch {
	case one.Unchecked != "":
		return []cell{word("-").in(yellow), name, word("could not be checked: %s", one.Unchecked)}
	case !one.OK:
		return []cell{word("BROKEN").in(red), name, word("%d checked, %d broken", one.Checked, one.Broken)}
	default:
		return []cell{word("ok").in(green), name, word("%d checked", one.Checked)}
	}
}

func (p *program) printViolations(r audit.Report) {
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
}

// sumOf is one word on all of them.
func (p *program) sumOf(r audit.Report) string {
	broken, unchecked := 0, 0
	for _, one := range r.Invariants {
		if !one.OK {
			broken++
		}
		if one.Unchecked != "" {
			unchecked++
		}
	}
	switch {
	case broken > 0:
		return p.paint(p.Stdout, fmt.Sprintf("%d of %d invariants are broken", broken, len(r.Invariants)), red)
	case unchecked > 0:
		return p.paint(p.Stdout, "all invariants hold that could be checked", green)
	default:
		return p.paint(p.Stdout, "all invariants hold", green)
	}
}
