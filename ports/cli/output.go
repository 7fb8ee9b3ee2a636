package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// colour is how a word is shown on a terminal (ECMA-48, SGR).
type colour string

const (
	plain  colour = ""
	green  colour = "32"
	red    colour = "31"
	yellow colour = "33"
	faint  colour = "2"
)

// cell is one word of a table.
type cell struct {
	text   string
	colour colour
}

func word(format string, args ...any) cell { return cell{text: fmt.Sprintf(format, args...)} }

func (c cell) in(colour colour) cell { return cell{c.text, colour} }

// paint colours where a person sees it and has not asked for none (no-color.org).
func (p *program) paint(w io.Writer, text string, c colour) string {
	if c == plain || text == "" || os.Getenv("NO_COLOR") != "" || !p.Terminal(w) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// table writes aligned columns under a head.
func (p *program) table(w io.Writer, head []string, rows [][]cell) {
	all := make([][]cell, 0, len(rows)+1)
	if head != nil {
		first := make([]cell, len(head))
		for i, h := range head {
			first[i] = cell{h, faint}
		}
		all = append(all, first)
	}
	all = append(all, rows...)
	var widths []int
	for _, row := range all {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(p.paint(w, c.text, c.colour))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// writeJSON writes one document on one line.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// statusColour is how an order's status, or the end of a saga, is shown.
func statusColour(status string) colour {
	switch strings.ToUpper(status) {
	case "CONFIRMED":
		return green
	case "FAILED":
		return red
	case "CANCELLED":
		return yellow
	default:
		return plain
	}
}

// moment writes a time for people, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// amount writes minor units with their currency. How many decimals a currency has is not known
// here, so it shows the unit that the API takes.
func amount(minor int64, currency string) string {
	return strconv.FormatInt(minor, 10) + " " + currency
}

// dash stands for an empty word.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// short makes a line of a text that may be long.
func short(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
