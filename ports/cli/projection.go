package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/analytics"
)

// Projections reads the read models and makes them anew.
type Projections interface {
	// Status tells of every read model how much is in it and how much is not yet.
	Status(ctx context.Context) ([]analytics.Status, error)
	// Sales gives the days from a day on, the newest first; "" for all.
	Sales(ctx context.Context, since string) ([]analytics.SalesDay, error)
	// Rebuild makes a read model anew and puts it in the place of the one that serves, unless it is only to be
	// compared. It fails with analytics.ErrHistory and analytics.ErrRebuilding.
	Rebuild(ctx context.Context, model string, o RebuildOptions) (analytics.Rebuilt, error)
}

func (p *program) projection() *cobra.Command {
	c := &cobra.Command{
		Use:   "projection",
		Short: "Look at the read models, and make them anew from the journal",
		Long: `Read models are what messages have told, in the shape in which it is asked for: orders_by_user, with which
the API lists a user's orders, and daily_sales, what the orders of a day came to.`,
		Example: "  millrace projection status\n  millrace projection rebuild orders_by_user",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.projectionStatus(), p.projectionSales(), p.projectionRebuild())
	return c
}

func (p *program) projectionStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Count what is in the read models, and what is not yet",
		Long: `Show for each read model how many orders are in it, how many have ended and are not in it yet, and when it was
last made anew. It only reads.`,
		Example: "  millrace projection status\n  POSTGRES_HOST=127.0.0.1 millrace projection status --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return with(c, p.Projections, where(), ToRead, func(models Projections) error {
			all, err := models.Status(c.Context())
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(p.Stdout, map[string]any{"models": all})
			}
			rows := make([][]cell, len(all))
			for i, s := range all {
				at := "never"
				if s.RebuiltAt != nil {
					at = moment(*s.RebuiltAt)
				}
				rows[i] = []cell{word("%s", s.Model), word("%d", s.Orders), word("%d", s.Behind), word("%d", s.Generation), word("%s", at)}
			}
			p.table(p.Stdout, []string{"MODEL", "ORDERS", "BEHIND", "GENERATION", "REBUILT"}, rows)
			return nil
		})
	}
	return c
}

func (p *program) projectionSales() *cobra.Command {
	c := &cobra.Command{
		Use:   "sales",
		Short: "Show what the orders of each day came to",
		Long: `Show daily_sales: for each day, in UTC and by when orders were placed, and each currency, how many were confirmed,
failed and cancelled, and what the confirmed ones came to in minor units. It only reads.`,
		Example: "  millrace projection sales\n  millrace projection sales --since 2026-01-01 --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	since := c.Flags().String("since", "", "from this day on, such as 2026-01-31")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := time.Parse(time.DateOnly, *since); err != nil && *since != "" {
			return fmt.Errorf("--since %s: it is a day such as 2026-01-31", *since)
		}
		return with(c, p.Projections, where(), ToRead, func(models Projections) error {
			days, err := models.Sales(c.Context(), *since)
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(p.Stdout, map[string]any{"days": days})
			}
			rows := make([][]cell, len(days))
			for i, d := range days {
				rows[i] = []cell{
					word("%s", d.Day), word("%d", d.Confirmed), word("%s", amount(d.Revenue, d.Currency)), word("%d", d.Failed), word("%d", d.Cancelled),
				}
			}
			p.table(p.Stdout, []string{"DAY", "CONFIRMED", "REVENUE", "FAILED", "CANCELLED"}, rows)
			return nil
		})
	}
	return c
}
