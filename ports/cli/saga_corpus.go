package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"millrace/sagas/replay"
)

func (p *program) sagaCorpus() *cobra.Command {
	c := &cobra.Command{
		Use:     "corpus",
		Short:   "Keep histories that every build must decide as they were decided",
		Long:    "A corpus is a folder of bundles with their checksums. `go test ./sagas/...` checks the one of the sources.",
		Example: "  millrace saga corpus check\n  millrace saga corpus add odd.ndjson",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.corpusCheck(), p.corpusAdd())
	return c
}

func corpusFlag(c *cobra.Command) *string {
	return c.Flags().String("dir", filepath.Join("sagas", "testdata", "corpus"), "folder of the corpus")
}

func (p *program) corpusCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Replay the corpus, and see that it is whole",
		Long: `Replay every history of the corpus strictly. Exits 2 when one is not OK, and 3 when the corpus is empty,
when a bundle is gone, altered or not listed, or when together they no longer show every edge of the
saga's table, every reason for which an order ends, every way in which a message comes wrong, and every
act of an operator.`,
		Example: "  millrace saga corpus check --json",
		Args:    exactly(),
	}
	dir := corpusFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		list := jsonList{to: p.Stdout}
		sum, err := replay.CheckCorpus(os.DirFS(*dir), replay.Options{}, func(bundle string, r replay.Result) error {
			if p.json {
				return list.add(r)
			}
			if r.Verdict != replay.OK {
				fmt.Fprintf(p.Stdout, "%s: ", bundle)
			}
			p.printResult(r)
			return nil
		})
		if err != nil {
			return damaged(*dir, err)
		}
		if p.json {
			err = list.end(sum)
		} else {
			fmt.Fprintf(p.Stdout, "%d sagas with %d entries: %d OK, %d DIVERGED, %d UNREPLAYABLE; they show all of %d\n",
				sum.Sagas, sum.Entries, sum.OK, sum.Diverged, sum.Unreplayable, len(replay.Wanted()))
		}
		if err == nil && sum.OK != sum.Sagas {
			return WithCode(Found, errSilent)
		}
		return err
	}
	return c
}

func (p *program) corpusAdd() *cobra.Command {
	c := &cobra.Command{
		Use:   "add FILE...",
		Short: "Put bundles into the corpus",
		Long: `Copy bundles into the corpus and list their checksums. A bundle that this build does not replay as OK is
refused, for it would fail from the first day on, and so is one whose name is taken by another. Nothing is
added, and it ends with 3, while a bundle that is listed is gone or altered: the new list would hide it. Export
with --redact: what lies in the corpus is read by everybody.

--pick takes of each bundle only those histories that show an edge, an end, a mishap or an act which the
corpus does not show yet by a real run, the shortest for each, and keeps them under the bundle's name. That is
for the thousands that a run of "make chaos CORPUS=DIR" leaves.`,
		Example: "  millrace saga export ord_01k9zq6v3e7x --redact > odd.ndjson\n  millrace saga corpus add odd.ndjson\n  millrace saga corpus add --pick /tmp/histories/chaos-embedded-7.ndjson",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("it takes the files of bundles: `%s --help` shows an example", c.CommandPath())
			}
			return nil
		},
	}
	dir := corpusFlag(c)
	pick := c.Flags().Bool("pick", false, "only histories that show what the corpus does not show yet")
	c.RunE = func(_ *cobra.Command, args []string) error {
		keep := func(dir, path string) (bool, error) { return true, p.keep(dir, path) }
		if *pick {
			keep = p.pick
		}
		if err := replay.CheckListed(os.DirFS(*dir)); err != nil {
			return damaged(*dir, err)
		}
		added := []string{}
		for _, path := range args {
			kept, err := keep(*dir, path)
			if err != nil {
				return err
			}
			if kept {
				added = append(added, path)
			}
		}
		sums, err := replay.SumsOf(os.DirFS(*dir))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(*dir, replay.CorpusSums), sums, 0o644); err != nil {
			return err
		}
		if p.json {
			return writeJSON(p.Stdout, map[string]any{"added": added, "bundles": bytes.Count(sums, []byte("\n"))})
		}
		fmt.Fprintf(p.Stdout, "added %s; the corpus has %d bundles\n", dash(strings.Join(added, ", ")), bytes.Count(sums, []byte("\n")))
		return nil
	}
	return c
}

// keep copies one bundle, once it is known to be whole and OK.
func (p *program) keep(dir, path string) error {
	name := filepath.Base(path)
	if filepath.Ext(name) != ".ndjson" {
		return fmt.Errorf("%s: a bundle's name ends with .ndjson", path)
	}
	h, err := openBundle(path)
	if err != nil {
		return err
	}
	sum, err := replay.Run(h.All, replay.Options{}, func(r replay.Result) error {
		if !p.json {
			p.printResult(r)
		}
		return nil
	})
	if err = errors.Join(err, h.Close()); err != nil {
		return damaged(path, err)
	}
	if sum.OK != sum.Sagas {
		return WithCode(Found, fmt.Errorf("%s: %d of its %d sagas are not OK with this build: find out why before they are kept", path, sum.Sagas-sum.OK, sum.Sagas))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	to := filepath.Join(dir, name)
	if there, err := os.ReadFile(to); err == nil && !bytes.Equal(there, text) {
		return fmt.Errorf("%s is in the corpus with other histories: choose another name", name)
	}
	return os.WriteFile(to, text, 0o644)
}
