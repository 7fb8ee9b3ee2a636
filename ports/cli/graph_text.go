package cli

import (
	"fmt"
	"strings"
)

// mermaid draws the graph for Markdown (mermaid.js.org, flowchart).
func (g graph) mermaid() string {
	var out strings.Builder
	out.WriteString("flowchart TD\n")
	for _, n := range g.Steps {
		shape := "  %s[%s]\n"
		if n.Terminal {
			shape = "  %s([%s])\n"
		}
		fmt.Fprintf(&out, shape, n.Name, n.Name)
	}
	var taken []string
	for i, e := range g.Edges {
		fmt.Fprintf(&out, "  %s -->|%s| %s\n", e.From, e.label(), e.To)
		if e.Taken {
			taken = append(taken, fmt.Sprint(i))
		}
	}
	if g.Order == "" {
		return out.String()
	}
	out.WriteString("  classDef taken stroke:#0a7,stroke-width:3px\n  classDef current fill:#0a7,color:#fff,stroke:#0a7,stroke-width:3px\n")
	for _, n := range g.Steps {
		switch {
		case n.Current:
			fmt.Fprintf(&out, "  class %s current\n", n.Name)
		case n.Taken:
			fmt.Fprintf(&out, "  class %s taken\n", n.Name)
		}
	}
	if len(taken) > 0 {
		fmt.Fprintf(&out, "  linkStyle %s stroke:#0a7,stroke-width:3px\n", strings.Join(taken, ","))
	}
	return out.String()
}

// dot draws the graph for Graphviz.
func (g graph) dot() string {
	var out strings.Builder
	out.WriteString("digraph saga {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	for _, n := range g.Steps {
		var style []string
		if n.Terminal {
			style = append(style, "style=rounded")
		}
		switch {
		case n.Current:
			style = append(style, `color="#00aa77"`, "penwidth=3", `fontcolor="#00aa77"`)
		case n.Taken:
			style = append(style, `color="#00aa77"`, "penwidth=3")
		}
		fmt.Fprintf(&out, "  %s%s;\n", n.Name, brackets(style))
	}
	for _, e := range g.Edges {
		style := []string{fmt.Sprintf("label=%q", e.label())}
		if e.Taken {
			style = append(style, `color="#00aa77"`, "penwidth=3")
		}
		fmt.Fprintf(&out, "  %s -> %s%s;\n", e.From, e.To, brackets(style))
	}
	out.WriteString("}\n")
	return out.String()
}

func brackets(attributes []string) string {
	if len(attributes) == 0 {
		return ""
	}
	return " [" + strings.Join(attributes, ", ") + "]"
}
