package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// root is the command tree.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "Orders in, goods out: an event-driven order system on Watermill",
		Long: `Millrace takes orders over HTTP, charges them, sets stock aside and tells the customer, each step
in a service of its own that reacts to messages. "millrace up" runs all of it in one process.

Exit codes: 0 done; 1 usage, or could not run; 2 found what it looks for (a broken invariant, a
failed item); 3 history incomplete or damaged; 4 no code for that version; 5 refused for safety.`,
		Example:       "  millrace up\n  millrace order place --sku SKU-123 --qty 2 --wait",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.PersistentFlags().BoolVar(&p.json, "json", false, "write JSON for programs")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: `%s --help` shows the flags", err, c.CommandPath())
	})
	root.AddGroup(&cobra.Group{ID: "run", Title: "Running it:"}, &cobra.Group{ID: "use", Title: "Using it:"}, &cobra.Group{ID: "look", Title: "Looking inside:"})
	for _, c := range []struct {
		group string
		verbs []*cobra.Command
	}{
		{"run", []*cobra.Command{p.up(), p.serve(), p.migrate(), p.seed(), p.psp(), p.doctor(), p.config(), p.version(), p.healthcheck()}},
		{"use", []*cobra.Command{p.order(), p.bench(), p.token()}},
		{"look", []*cobra.Command{p.verify(), p.saga(), p.outbox(), p.dlq(), p.projection()}},
	} {
		for _, verb := range c.verbs {
			verb.GroupID = c.group
			root.AddCommand(verb)
		}
	}
	return root
}

// group is run for a command that only has others under it.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	hint := ""
	c.SuggestionsMinimumDistance = 2 // letters
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q? ", near[0])
	}
	return fmt.Errorf("there is no %q: %s`%s --help` lists what there is", args[0], hint, c.CommandPath())
}

// exactly wants the named arguments and no others.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		wants := "no arguments"
		if len(names) > 0 {
			wants = strings.Join(names, " ")
		}
		return fmt.Errorf("it takes %s, not %d arguments: `%s --help` shows an example", wants, len(args), c.CommandPath())
	}
}

// atMostOne wants one of the words, or none.
func atMostOne(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) == 1 && slices.Contains(words, args[0]) {
			return nil
		}
		return fmt.Errorf("it takes one of %s: `%s --help` shows an example", strings.Join(words, ", "), c.CommandPath())
	}
}

// verbOf names a verb as it is typed, without the program: "saga list".
func verbOf(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), "millrace ") }

// missing is the error of a verb that was not handed in.
func missing(c *cobra.Command) error {
	return fmt.Errorf("this build has no `%s`", c.CommandPath())
}

// whereFlag gives a verb the flag --data, and reads where it acts.
func (p *program) whereFlag(c *cobra.Command) func() Where {
	data := c.Flags().String("data", ".millrace", "the `DIR` in which millrace up keeps its data; without the flag, POSTGRES_HOST goes before it")
	return func() Where {
		if !c.Flags().Changed("data") && p.Setting("POSTGRES_HOST") != "" {
			return Where{}
		}
		return Where{Data: *data}
	}
}
