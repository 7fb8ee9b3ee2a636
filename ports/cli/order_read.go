package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) orderShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show an order with its timeline",
		Long:    "Show where an order is and what has happened to it.",
		Example: "  millrace order show ord_01k9zq6v3e7x --json",
		Args:    exactly("ID"),
	}
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		order, raw, _, err := at().order(c.Context(), args[0], "")
		if err != nil {
			return err
		}
		return p.printOrder(order, raw)
	}
	return c
}

func (p *program) printOrder(o shown, raw []byte) error {
	if p.json {
		return raws(p.Stdout, raw)
	}
	items := make([]string, len(o.Items))
	for i, item := range o.Items {
		items[i] = fmt.Sprintf("%d × %s", item.Qty, item.SKU)
	}
	rows := [][]cell{
		{word("order").in(faint), word("%s", o.OrderID)},
		{word("status").in(faint), word("%s", o.Status).in(statusColour(o.Status))},
	}
	if o.reason() != "" {
		rows = append(rows, []cell{word("reason").in(faint), word("%s", o.reason())})
	}
	p.table(p.Stdout, nil, append(rows,
		[]cell{word("user").in(faint), word("%s", o.UserID)},
		[]cell{word("items").in(faint), word("%s", strings.Join(items, ", "))},
		[]cell{word("total").in(faint), word("%s", amount(o.Total, o.Currency))},
	))
	fmt.Fprintln(p.Stdout)
	timeline := make([][]cell, len(o.Timeline))
	for i, m := range o.Timeline {
		timeline[i] = []cell{
			word("%d", m.Seq), word("%s", moment(m.At)), word("+%d ms", m.At.Sub(o.CreatedAt).Milliseconds()),
			word("%s", m.Event), word("%s", m.Status).in(statusColour(m.Status)),
		}
	}
	p.table(p.Stdout, []string{"SEQ", "AT", "AFTER", "EVENT", "STATUS"}, timeline)
	return nil
}

func (p *program) orderList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List orders, newest first",
		Long:    "List a page of orders. The next page is asked for with --cursor, which the answer gives.",
		Example: "  millrace order list --status FAILED --limit 20\n  millrace order list --user usr_001 --json",
		Args:    exactly(),
	}
	f := c.Flags()
	words := map[string]*string{ // by the API's name
		"status": f.String("status", "", "PENDING, PROCESSING, PAID, CONFIRMED, FAILED or CANCELLED"),
		"userId": f.String("user", "", "of this user alone"),
		"from":   f.String("from", "", "placed at or after this time (RFC 3339)"),
		"to":     f.String("to", "", "placed before this time (RFC 3339)"),
		"cursor": f.String("cursor", "", "where the page before ended"),
	}
	limit := f.Int("limit", 50, "how many, 1 to 200")
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		for name, value := range words {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		api := at()
		raw, _, err := api.get(c.Context(), "/api/v1/orders?"+query.Encode(), "")
		if err != nil {
			return err
		}
		if p.json {
			return raws(p.Stdout, raw)
		}
		var answer page
		if err := api.decode(raw, &answer); err != nil {
			return err
		}
		rows := make([][]cell, len(answer.Items))
		for i, o := range answer.Items {
			rows[i] = []cell{
				word("%s", o.OrderID), word("%s", o.Status).in(statusColour(o.Status)), word("%s", dash(o.reason())),
				word("%s", o.UserID), word("%s", amount(o.Total, o.Currency)), word("%s", moment(o.CreatedAt)),
			}
		}
		p.table(p.Stdout, []string{"ORDER", "STATUS", "REASON", "USER", "TOTAL", "PLACED"}, rows)
		if answer.Next != nil {
			fmt.Fprintf(p.Stderr, "there are more: --cursor %s\n", *answer.Next)
		}
		return nil
	}
	return c
}
