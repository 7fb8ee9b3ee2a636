package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// plotted are the plots, each with the measures that it draws.
var plotted = []struct {
	file, title, x, y string
	measures          []string
}{
	{"bench-throughput.svg", "Throughput against orders under way", "orders under way, at most", "orders/s", []string{"throughput"}},
	{"bench-latency.svg", "POST to CONFIRMED against the offered rate: p50, and p99 dashed", "orders offered a second", "ms", []string{"latency p50", "latency p99"}},
}

var colours = map[string]string{"millrace": "#1a7f5a", "watermill": "#c2571a", "river": "#3366aa"}

func (r *report) drawn(measures []string) bool {
	return slices.ContainsFunc(r.Points, func(c *curve) bool { return slices.Contains(measures, c.Measure) })
}

// plots draws every plot of which there are points, by file name.
func (r *report) plots() map[string][]byte {
	all := map[string][]byte{}
	for _, p := range plotted {
		if !r.drawn(p.measures) {
			continue
		}
		var lines []*curve
		for _, c := range r.Points {
			if slices.Contains(p.measures, c.Measure) {
				lines = append(lines, c)
			}
		}
		all[p.file] = draw(p.title, p.x, p.y, lines, p.measures[0])
	}
	return all
}

const (
	width, height           = 760, 440
	left, right, top, below = 70, 110, 44, 54
)

// scale is a logarithmic axis over whole decades.
type scale struct{ from, to float64 } // exponents of ten

func scaleOf(values []float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		v = math.Log10(max(v, 0.1))
		low, high = min(low, v), max(high, v)
	}
	s := scale{math.Floor(low), math.Ceil(high)}
	if s.from == s.to {
		s.to++
	}
	return s
}

func (s scale) at(v, begin, end float64) float64 {
	return begin + (math.Log10(max(v, 0.1))-s.from)/(s.to-s.from)*(end-begin)
}

// draw makes one plot, both axes logarithmic. Lines of the first measure are whole, others dashed.
func draw(title, x, y string, lines []*curve, whole string) []byte {
	var xs, ys []float64
	for _, c := range lines {
		for _, p := range c.Points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	h, v := scaleOf(xs), scaleOf(ys)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><text x="%d" y="24" font-size="15">%s</text>`+"\n", width, height, left, html.EscapeString(title))
	for e := h.from; e <= h.to; e++ {
		at := h.at(math.Pow(10, e), left, width-right)
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n", at, top, height-below, at, height-below+18, math.Pow(10, e))
	}
	for e := v.from; e <= v.to; e++ {
		at := v.at(math.Pow(10, e), height-below, top)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, at, width-right, left-8, at+4, math.Pow(10, e))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-14, html.EscapeString(x))
	fmt.Fprintf(&b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+height-below)/2, html.EscapeString(y))
	for _, c := range lines {
		line(&b, c, h, v, c.Measure == whole)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func line(b *bytes.Buffer, c *curve, h, v scale, whole bool) {
	colour, dash := colours[c.Who], ""
	if colour == "" {
		colour = "#666"
	}
	if !whole {
		dash = ` stroke-dasharray="5 4"`
	}
	var x, y float64
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="`, colour, dash)
	for _, p := range c.Points {
		x, y = h.at(p[0], left, width-right), v.at(p[1], height-below, top)
		fmt.Fprintf(b, "%.1f,%.1f ", x, y)
	}
	b.WriteString("\"/>\n")
	for _, p := range c.Points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %g, %g</title></circle>`+"\n",
			h.at(p[0], left, width-right), v.at(p[1], height-below, top), colour, html.EscapeString(c.Who), p[0], p[1])
	}
	if whole {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", x+8, y+4, colour, html.EscapeString(c.Who))
	}
}
