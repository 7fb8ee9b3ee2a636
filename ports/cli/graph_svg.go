package cli

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Measures of the picture, in user units.
const (
	boxWidth, boxHeight   = 170, 36
	columnGap, layerGap   = 330, 130
	margin, labelLineSize = 40, 14
)

// svg draws the graph in layers: every step lies below all that lead to it. The steps on the way
// forward and their undo share a column, ends stand beside them.
func (g graph) svg() string {
	at, width, height := g.layout()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	out.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">` +
		`<path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>` + "\n")
	for _, b := range g.bundles() {
		writeBundle(&out, b, at[b.from], at[b.to])
	}
	for _, n := range g.Steps {
		stroke, fill, ink, weight, round := "#888", "#fff", "#222", 1, 3
		if n.Taken {
			stroke, weight = "#0a7", 3
		}
		if n.Current {
			fill, ink = "#0a7", "#fff"
		}
		if n.Terminal {
			round = boxHeight / 2
		}
		p := at[n.Name]
		fmt.Fprintf(&out, `<rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s" stroke="%s" stroke-width="%d"/>`+"\n",
			p.x-boxWidth/2, p.y-boxHeight/2, boxWidth, boxHeight, round, fill, stroke, weight)
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="middle" fill="%s">%s</text>`+"\n", p.x, p.y+4, ink, escaped(n.Name))
	}
	out.WriteString("</svg>\n")
	return out.String()
}

type point struct{ x, y int }

// layout gives every step its place: the layer is its y, and within a layer steps go from left to
// right in the order of the saga's steps. Ends move to the right of everything that is not one.
func (g graph) layout() (at map[string]point, width, height int) {
	at = map[string]point{}
	columns := map[int]int{}
	most, deepest := 1, 0
	for _, n := range g.Steps {
		column := columns[n.layer]
		if n.Terminal {
			column = max(column, 1)
		}
		columns[n.layer] = column + 1
		most, deepest = max(most, column+1), max(deepest, n.layer)
		at[n.Name] = point{margin + boxWidth/2 + column*columnGap, margin + boxHeight/2 + n.layer*layerGap}
	}
	return at, 2*margin + boxWidth + (most-1)*columnGap + columnGap/2, 2*margin + boxHeight + deepest*layerGap
}

// bundle is all edges between two steps: one line, a label for each.
type bundle struct {
	from, to string
	labels   []string
	taken    []bool
}

func (g graph) bundles() []bundle {
	var all []bundle
	for _, e := range g.Edges {
		i := 0
		for i < len(all) && (all[i].from != e.From || all[i].to != e.To) {
			i++
		}
		if i == len(all) {
			all = append(all, bundle{from: e.From, to: e.To})
		}
		all[i].labels, all[i].taken = append(all[i].labels, e.label()), append(all[i].taken, e.Taken)
	}
	return all
}

// writeBundle draws a curve from the lower edge of one box to the upper edge of the other. One
// that passes a layer in the same column swings out to the right.
func writeBundle(out *strings.Builder, b bundle, from, to point) {
	stroke, weight := "#888", 1
	for _, taken := range b.taken {
		if taken {
			stroke, weight = "#0a7", 3
		}
	}
	x1, y1, x2, y2 := from.x, from.y+boxHeight/2, to.x, to.y-boxHeight/2
	swing := 0
	if x1 == x2 && to.y-from.y > layerGap {
		swing = boxWidth
	}
	bend := (y2 - y1) / 2
	fmt.Fprintf(out, `<path d="M%d %dC%d %d %d %d %d %d" fill="none" stroke="%s" stroke-width="%d" marker-end="url(#tip)"/>`+"\n",
		x1, y1, x1+swing, y1+bend, x2+swing, y2-bend, x2, y2, stroke, weight)
	// A point of the curve (de Casteljau at 1/2), and the labels one below the other beside it.
	x, y := (x1+3*(x1+swing)+3*(x2+swing)+x2)/8+6, (y1+y2)/2-(len(b.labels)-1)*labelLineSize/2
	for i, label := range b.labels {
		ink := "#555"
		if b.taken[i] {
			ink = "#075"
		}
		fmt.Fprintf(out, `<text x="%d" y="%d" fill="%s" font-size="10">%s</text>`+"\n", x, y+i*labelLineSize, ink, escaped(label))
	}
}

func escaped(text string) string {
	var out strings.Builder
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return ""
	}
	return out.String()
}
