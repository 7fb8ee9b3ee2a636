package cli

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Measures of the picture, in user units.
const (
	boxWidth, boxHeight = 170, 36
	columnGap, layerGap = 400, 130
	margin, labelLine   = 40, 14
)

// svg draws the graph in layers: every step lies below all that lead to it.
func (g graph) svg() string {
	at, width, height := g.layout()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	out.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">` +
		`<path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>` + "\n")
	bundles := g.bundles()
	for _, b := range bundles {
		b.line(&out, at[b.from], at[b.to])
	}
	for _, b := range bundles {
		b.words(&out, at[b.from], at[b.to])
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

// layout gives every step its place: the layer is its y. Steps share a column, ends stand to the
// right of it, and those that are also reached from far above to the left, where nothing is in the way.
func (g graph) layout() (at map[string]point, width, height int) {
	const far, steps, near = 0, 1, 2
	at = map[string]point{}
	full := map[point]bool{}
	for _, n := range g.Steps {
		p := point{steps, n.layer}
		if n.Terminal {
			p.x = near
			for _, e := range g.Edges {
				if e.To == n.Name && n.layer-g.step(e.From).layer > 1 {
					p.x = far
				}
			}
		}
		for full[p] {
			p.x++
		}
		full[p] = true
		at[n.Name] = point{margin + boxWidth/2 + p.x*columnGap, margin + boxHeight/2 + p.y*layerGap}
		width, height = max(width, at[n.Name].x), max(height, at[n.Name].y)
	}
	return at, width + boxWidth/2 + margin, height + boxHeight/2 + margin
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

// curve leads from the lower edge of one box to the upper edge of another. One that passes a layer
// swings out: to the right within a column, and otherwise over to the other column at once. One that
// leads back to its own box is a loop at its left.
func curve(from, to point) (path string, middle point) {
	if from == to {
		x, out := from.x-boxWidth/2, from.x-boxWidth/2-labelLine*4
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, from.y-boxHeight/4, out, from.y-boxHeight, out, from.y+boxHeight, x, from.y+boxHeight/4),
			point{(x + 3*out) / 4, from.y}
	}
	x1, y1, x2, y2 := from.x, from.y+boxHeight/2, to.x, to.y-boxHeight/2
	c1, c2 := x1, x2
	if to.y-from.y > layerGap {
		c1 = x2
		if x1 == x2 {
			c1, c2 = x1+boxWidth, x2+boxWidth
		}
	}
	bend := (y2 - y1) / 2
	// The middle is where the curve's parameter is 1/2 (de Casteljau).
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, c1, y1+bend, c2, y2-bend, x2, y2), point{(x1 + 3*c1 + 3*c2 + x2) / 8, (y1 + y2) / 2}
}

func (b bundle) line(out *strings.Builder, from, to point) {
	stroke, weight := "#888", 1
	if slices.Contains(b.taken, true) {
		stroke, weight = "#0a7", 3
	}
	path, _ := curve(from, to)
	fmt.Fprintf(out, `<path d="%s" fill="none" stroke="%s" stroke-width="%d" marker-end="url(#tip)"/>`+"\n", path, stroke, weight)
}

// words puts the labels one below the other beside the line's middle.
func (b bundle) words(out *strings.Builder, from, to point) {
	_, middle := curve(from, to)
	x, anchor := middle.x+6, "start"
	if from == to {
		x, anchor = middle.x-6, "end"
	}
	y := middle.y - (len(b.labels)-1)*labelLine/2
	for i, label := range b.labels {
		ink := "#444"
		if b.taken[i] {
			ink = "#075"
		}
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="%s" fill="%s" font-size="10" stroke="#fff" stroke-width="3" paint-order="stroke">%s</text>`+"\n",
			x, y+i*labelLine, anchor, ink, escaped(label))
	}
}

func escaped(text string) string {
	var out strings.Builder
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return ""
	}
	return out.String()
}
