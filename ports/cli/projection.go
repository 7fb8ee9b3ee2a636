package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"millrace/app/analytics"
	"millrace/sagas/replay"
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

// RebuildOptions say how a read model is made anew.
type RebuildOptions struct {
	OnlyCompare bool
	Patience    time.Duration // for a live model that is a little behind
	Watch       func(analytics.Progress) error
	Archived    iter.Seq2[replay.History, error] // histories whose journals may be gone; nil for none
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

// withProjections opens the read models for one verb.
func (p *program) withProjections(c *cobra.Command, where Where, readOnly bool, do func(Projections) error) error {
	if p.Projections == nil {
		return missing(c)
	}
	all, closeAll, err := p.Projections(c.Context(), where, readOnly)
	if err != nil {
		return fmt.Errorf("projection %s: %w", c.Name(), err)
	}
	if err = do(all); err != nil && !errors.Is(err, errSilent) {
		err = fmt.Errorf("projection %s: %w", c.Name(), err)
	}
	return errors.Join(err, closeAll())
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
		return p.withProjections(c, where(), true, func(models Projections) error {
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
			return fmt.Errorf("projection sales: --since %s: it is a day such as 2026-01-31", *since)
		}
		return p.withProjections(c, where(), true, func(models Projections) error {
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

func (p *program) projectionRebuild() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild " + strings.Join(analytics.Models, "|"),
		Short: "Make a read model anew from the journal, while the old one serves",
		Long: `Fill a shadow of the read model from the journal of the sagas, catch up with what ends meanwhile, compare the
checksums of the two, and exchange them in one transaction. However it ends, a whole model serves; start it again
and it begins anew. Once journals were archived, all their files have to be named with --archive. No message is
handled or sent again. It works beside running services, and in PostgreSQL it needs the rights of "millrace migrate".

Exit codes: 0 done, whether the old model was right or not; with --check 2 when it was not; 3 when the
journal is damaged or incomplete, and the old model stays; 5 when the model is being rebuilt already.`,
		Example:   "  millrace projection rebuild orders_by_user\n  millrace projection rebuild daily_sales --check --json",
		ValidArgs: analytics.Models,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(analytics.Models, args[0]) {
				return fmt.Errorf("projection rebuild takes one of %s: `%s --help` shows an example", strings.Join(analytics.Models, ", "), c.CommandPath())
			}
			return nil
		},
	}
	where := p.whereFlag(c)
	check := c.Flags().Bool("check", false, "compare only; what serves stays, and lists leave aside what it lacks")
	archives := c.Flags().StringArray("archive", nil, "bundle with journals that are not in the database any more; may be repeated")
	patience := c.Flags().Duration("patience", 10*time.Second, "how long a difference is looked at again before it counts: the live model is a little behind")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *patience <= 0 {
			return errors.New("projection rebuild: --patience must be above 0")
		}
		archived, err := bundles(*archives)
		if err != nil {
			return fmt.Errorf("projection rebuild: --archive: %w", err)
		}
		return p.withProjections(c, where(), false, func(models Projections) error {
			bar := p.rebuildBar()
			report, err := models.Rebuild(c.Context(), args[0], RebuildOptions{OnlyCompare: *check, Patience: *patience, Archived: archived, Watch: func(at analytics.Progress) error {
				if at.Step == analytics.Fill && at.Total > 0 {
					bar.Describe("sagas read")
					bar.ChangeMax(at.Total)
					_ = bar.Set(at.Done) // what a person sees of it is no result
				} else {
					bar.Describe(stepWords[at.Step])
				}
				return c.Context().Err()
			}})
			_ = bar.Finish()
			if err != nil {
				return codedRebuild(err)
			}
			if err := p.printRebuilt(report); err != nil {
				return err
			}
			if *check && !report.Identical {
				return WithCode(Found, errSilent)
			}
			return nil
		})
	}
	return c
}

// bundles gives the histories of files, one after the other; nil for none. Each was read once to its end before.
func bundles(paths []string) (iter.Seq2[replay.History, error], error) {
	if len(paths) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	for _, path := range paths {
		h, err := openBundle(path)
		if err != nil {
			return nil, err
		}
		if err := h.Close(); err != nil {
			return nil, err
		}
	}
	return func(yield func(replay.History, error) bool) {
		for _, path := range paths {
			if !handOver(path, yield) {
				return
			}
		}
	}, nil
}

// handOver hands the histories of one file over and says whether more are wanted.
func handOver(path string, yield func(replay.History, error) bool) bool {
	h, err := openBundle(path)
	if err != nil {
		yield(replay.History{}, err)
		return false
	}
	defer func() { _ = h.Close() }()
	for history, err := range h.All {
		if !yield(history, err) || err != nil {
			return false
		}
	}
	return true
}

// codedRebuild gives what ends a rebuild its exit code.
func codedRebuild(err error) error {
	switch {
	case errors.Is(err, analytics.ErrHistory):
		return WithCode(Damaged, err)
	case errors.Is(err, analytics.ErrRebuilding):
		return WithCode(Refused, err)
	default:
		return err
	}
}

// stepWords are the steps for people.
var stepWords = map[analytics.Step]string{
	analytics.Prepare: "preparing", analytics.CatchUp: "catching up", analytics.Compare: "comparing", analytics.Exchange: "exchanging",
	analytics.Exchanging: "exchanging", analytics.Exchanged: "tidying up", analytics.Tidied: "done",
}

func (p *program) rebuildBar() *progressbar.ProgressBar {
	return progressbar.NewOptions(1, progressbar.OptionSetWriter(p.Stderr), progressbar.OptionSetDescription("preparing"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetVisibility(p.Terminal(p.Stderr)))
}

func (p *program) printRebuilt(r analytics.Rebuilt) error {
	if p.json {
		return writeJSON(p.Stdout, r)
	}
	for _, found := range []struct {
		what string
		analytics.Found
	}{{"missing", r.Missing}, {"too many", r.Extra}, {"different", r.Different}} {
		if found.N > 0 {
			fmt.Fprintf(p.Stdout, "%s %s: %s\n", found.what, p.paint(p.Stdout, fmt.Sprint(found.N), yellow), strings.Join(found.First, ", "))
		}
	}
	fmt.Fprintf(p.Stdout, "checksums over %d orders: live %s, rebuilt %s\n", r.Compared, r.Live, r.Rebuilt)
	same := "the live model was right"
	if !r.Identical {
		same = "the live model was wrong"
	}
	if !r.Exchanged {
		fmt.Fprintf(p.Stdout, "%s: %s; nothing was changed\n", r.Model, same)
		return nil
	}
	fmt.Fprintf(p.Stdout, "%s: %s; generation %d serves, with %d orders, and %d under way\n", r.Model, same, r.Generation, r.Orders, r.Open)
	return nil
}
