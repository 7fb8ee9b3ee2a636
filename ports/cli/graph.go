package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	saga "millrace/sagas/order"
)

func (p *program) sagaGraph() *cobra.Command {
	c := &cobra.Command{
		Use:   "graph [ID]",
		Short: "Draw the saga; with an order, the way that it took",
		Long: `Draw the saga's table of steps, as new sagas have it, or with --def as a version has it. With an order's
id it is the table of that saga's version, and the steps and messages of its journal stand out.
--json gives the steps and edges instead of a picture.`,
		Example: "  millrace saga graph\n  millrace saga graph ord_01k9zq6v3e7x --format svg > way.svg",
		Args:    cobra.MaximumNArgs(1),
	}
	where := p.whereFlag(c)
	def := c.Flags().Int("def", saga.Version, "version of the definition")
	format := c.Flags().String("format", "mermaid", "mermaid, dot or svg")
	c.RunE = func(c *cobra.Command, args []string) error {
		draw := map[string]func(graph) string{"mermaid": graph.mermaid, "dot": graph.dot, "svg": graph.svg}[*format]
		if draw == nil {
			return fmt.Errorf("--format %q: choose mermaid, dot or svg", *format)
		}
		if len(args) == 1 && c.Flags().Changed("def") {
			return errors.New("--def is for the table alone: a saga is drawn by the version that it has")
		}
		g, err := graphOfVersions(*def)
		if len(args) == 1 {
			err = with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
				h, err := s.Show(c.Context(), args[0])
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if g, err = graphOfVersions(versionsOf(h)...); err != nil {
					return err
				}
				g.highlight(h)
				if h.Archived != nil {
					fmt.Fprintf(p.Stderr, "its first %d entries were archived in %s: what they took does not stand out\n", h.Archived.Entries, h.Archived.File)
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
		if p.json {
			return writeJSON(p.Stdout, g)
		}
		_, err = fmt.Fprint(p.Stdout, draw(g))
		return err
	}
	return c
}

// graph is the picture of a saga before it is drawn.
type graph struct {
	Order string `json:"order,omitempty"` // whose way stands out
	Steps []node `json:"steps"`
	Edges []edge `json:"edges"`
}

type node struct {
	Name     string `json:"name"`
	Terminal bool   `json:"terminal"`
	Taken    bool   `json:"taken"`
	Current  bool   `json:"current"`
	layer    int    // how many steps lie before it at most
}

type edge struct {
	From  string   `json:"from"`
	On    string   `json:"on"`
	To    string   `json:"to"`
	Sends []string `json:"sends"`
	Taken bool     `json:"taken"`
}

func (e edge) label() string {
	if len(e.Sends) == 0 {
		return e.On
	}
	return e.On + " / " + strings.Join(e.Sends, ", ")
}

// graphOfVersions draws the rows that any of the versions has, each once. It fails with exit code 4
// for one that this build does not have.
func graphOfVersions(versions ...int) (graph, error) {
	var table []saga.Edge
	for _, v := range versions {
		def, known := saga.Of(v)
		if !known {
			return graph{}, WithCode(NoCode, fmt.Errorf("this build has no code for version %d: draw it with a build that has", v))
		}
		for _, e := range def.Table() {
			if !slices.ContainsFunc(table, func(o saga.Edge) bool { return o.From == e.From && o.On == e.On && o.To == e.To }) {
				table = append(table, e)
			}
		}
	}
	return graphOf(table), nil
}

// versionsOf are those that decided for a saga: more than its own where it was migrated.
func versionsOf(h audit.History) []int {
	all := []int{cmp.Or(h.Saga.Definition, saga.Version)} // 0 before its first message
	for _, e := range h.Journal {
		if !slices.Contains(all, e.Definition) {
			all = append(all, e.Definition)
		}
	}
	return all
}

func graphOf(table []saga.Edge) graph {
	var g graph
	for _, s := range saga.Steps {
		g.Steps = append(g.Steps, node{Name: s.String(), Terminal: s.Terminal()})
	}
	for _, e := range table {
		g.Edges = append(g.Edges, edge{From: e.From.String(), On: e.On, To: e.To.String(), Sends: append([]string{}, e.Sends...)})
	}
	for range g.Steps { // the table has no way back but to where it is, so no way is longer than this
		for _, e := range g.Edges {
			if e.From == e.To {
				continue
			}
			to := g.step(e.To)
			to.layer = max(to.layer, g.step(e.From).layer+1)
		}
	}
	return g
}

func (g *graph) step(name string) *node {
	i := slices.IndexFunc(g.Steps, func(n node) bool { return n.Name == name })
	return &g.Steps[i]
}

// highlight marks what a saga has been through. One entry of its journal may have taken several
// edges: messages that had come before their cause were taken with it.
func (g *graph) highlight(h audit.History) {
	g.Order = h.Saga.OrderID
	for _, e := range h.Journal {
		switch {
		case e.Outcome != "applied":
		case e.From == e.To:
			g.stay(e.From, e.Type)
		default:
			g.follow(e.From, e.To, append([]string{e.Type}, e.Held...))
		}
	}
	for i := range g.Steps {
		n := &g.Steps[i]
		n.Current = n.Name == h.Saga.State
		n.Taken = n.Taken || n.Current
	}
}

// stay marks the edge that leads back to its own step.
func (g *graph) stay(at, on string) {
	for i := range g.Edges {
		if e := &g.Edges[i]; e.From == at && e.To == at && e.On == on {
			e.Taken = true
			g.step(at).Taken = true
		}
	}
}

// follow marks a way from one step to another that takes only the named messages.
func (g *graph) follow(from, to string, on []string) bool {
	if from == to {
		return true
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		if e.From == from && e.To != from && slices.Contains(on, e.On) && g.follow(e.To, to, on) {
			e.Taken = true
			g.step(from).Taken, g.step(e.To).Taken = true, true
			return true
		}
	}
	return false
}
