package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"millrace/app/analytics"
	"millrace/sagas/replay"
)

// RebuildOptions say how a read model is made anew.
type RebuildOptions struct {
	OnlyCompare bool
	Patience    time.Duration // for a live model that is a little behind
	Watch       func(analytics.Progress) error
	Archived    iter.Seq2[replay.History, error] // histories whose journals may be gone; nil for none
}

func (p *program) projectionRebuild() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild [" + strings.Join(analytics.Models, "|") + "]",
		Short: "Make read models anew from the journal, while the old ones serve",
		Long: `Make one read model anew, or without a name all of them, one after the other.

Fill a shadow of the read model from the journal of the sagas, catch up with what ends meanwhile, compare the
checksums of the two, and exchange them in one transaction. However it ends, a whole model serves; start it again
and it begins anew. Once journals were archived, all their files have to be named with --archive. No message is
handled or sent again. It works beside running services, and in PostgreSQL it needs the rights of "millrace migrate".
With --json there is a document a line for each model, as soon as it is done.

Exit codes: 0 done, whether the old model was right or not; with --check 2 when one was not; 3 when the
journal is damaged or incomplete, and the old model stays; 5 when the model is being rebuilt already. What cannot
be rebuilt ends it: models after that one are as they were.`,
		Example: "  millrace projection rebuild\n  millrace projection rebuild orders_by_user\n  millrace projection rebuild --check --json",
		Args:    atMostOne(analytics.Models...), ValidArgs: analytics.Models,
	}
	where := p.whereFlag(c)
	check := c.Flags().Bool("check", false, "compare only; what serves stays, and lists leave aside what it lacks")
	archives := c.Flags().StringArray("archive", nil, "bundle with journals that are not in the database any more; may be repeated")
	patience := c.Flags().Duration("patience", 10*time.Second, "how long a difference is looked at again before it counts: the live model is a little behind")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *patience <= 0 {
			return errors.New("--patience must be above 0")
		}
		archived, err := bundles(*archives)
		if err != nil {
			return fmt.Errorf("--archive: %w", err)
		}
		chosen := analytics.Models
		if len(args) == 1 {
			chosen = args
		}
		return with(c, p.Projections, where(), ToChange, func(models Projections) error {
			return p.rebuild(c.Context(), models, chosen, RebuildOptions{OnlyCompare: *check, Patience: *patience, Archived: archived})
		})
	}
	return c
}

// rebuild makes models anew, one after the other, and tells of each when it is done. The first that cannot be
// rebuilt ends it; one that is only compared and was wrong does not.
func (p *program) rebuild(ctx context.Context, models Projections, chosen []string, o RebuildOptions) error {
	var wrong error
	for _, model := range chosen {
		bar := p.rebuildBar()
		o.Watch = func(at analytics.Progress) error {
			showStep(bar, at)
			return ctx.Err()
		}
		report, err := models.Rebuild(ctx, model, o)
		_ = bar.Finish()
		if err != nil {
			return codedRebuild(fmt.Errorf("%s: %w", model, err))
		}
		if err := p.printRebuilt(report); err != nil {
			return err
		}
		if o.OnlyCompare && !report.Identical {
			wrong = WithCode(Found, errSilent)
		}
	}
	return wrong
}

func showStep(bar *progressbar.ProgressBar, at analytics.Progress) {
	if at.Step == analytics.Fill && at.Total > 0 {
		bar.Describe("sagas read")
		bar.ChangeMax(at.Total)
		_ = bar.Set(at.Done) // what a person sees of it is no result
		return
	}
	bar.Describe(stepWords[at.Step])
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
