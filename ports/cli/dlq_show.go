package cli

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"millrace/app/deadletters"
)

func (p *program) dlqShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything about one dead letter",
		Long: `Show what was refused, by whom and why, the record with its headers and bytes, what waits behind it,
and everything that was done about it. In JSON key and payload are base64.`,
		Example: "  millrace dlq show 5f3c1a52-9b0e-5d0e-8a43-0c9f3c1d7e11\n  millrace dlq show ord_1:refund --json",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return with(c, p.DeadLetters, where(), ToRead, func(d DeadLetters) error {
			letter, err := d.Show(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if p.json {
				return writeJSON(p.Stdout, letter)
			}
			p.printLetter(letter)
			return nil
		})
	}
	return c
}

func (p *program) printLetter(l deadletters.Whole) {
	place := "an act in the outside world"
	if l.Topic != "" {
		place = fmt.Sprintf("%s[%d]@%d, key %s", l.Topic, l.Partition, l.Offset, dash(text(l.Key)))
	}
	rows := [][]cell{
		{word("id").in(faint), word("%s", l.ID)},
		{word("state").in(faint), p.stateWord(l.State)},
		{word("consumer").in(faint), word("%s", l.Consumer)},
		{word("handler").in(faint), word("%s", l.Handler)},
		{word("order").in(faint), word("%s", dash(l.OrderID))},
		{word("message").in(faint), word("%s %s", dash(l.Type), l.MessageID)},
		{word("read at").in(faint), word("%s", place)},
		{word("reason").in(faint), word("%s", dash(l.Reason))},
		{word("error").in(faint), word("%s", dash(short(l.Error, 1000)))},
		{word("attempts").in(faint), word("%d, from %s to %s", l.Attempts, moment(l.FirstAt), moment(l.LastAt))},
		{word("redrives").in(faint), word("%d", l.Redrives)},
		{word("parked").in(faint), word("%d messages wait behind it", l.Parked)},
	}
	p.table(p.Stdout, nil, rows)
	fmt.Fprintln(p.Stdout)
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		fmt.Fprintf(p.Stdout, "%s: %s\n", name, short(l.Headers[name], 300))
	}
	fmt.Fprintf(p.Stdout, "\n%s\n", text(l.Payload))
	if len(l.Behind) > 0 {
		fmt.Fprintln(p.Stdout)
		p.printLetters(l.Behind)
	}
	if len(l.Log) == 0 {
		return
	}
	fmt.Fprintln(p.Stdout)
	lines := make([][]cell, len(l.Log))
	for i, line := range l.Log {
		lines[i] = []cell{word("%s", moment(line.At)), word("%s", line.Act), word("%s", dash(line.Actor)), word("%s", dash(line.Reason))}
	}
	p.table(p.Stdout, []string{"AT", "WHAT", "WHO", "WHY"}, lines)
}

// text shows bytes as they are where a terminal can, and as base64 otherwise.
func text(b []byte) string {
	if !utf8.Valid(b) || strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	return string(b)
}
