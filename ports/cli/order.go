package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) order() *cobra.Command {
	c := &cobra.Command{
		Use:   "order",
		Short: "Place, show, list, cancel and watch orders over the API",
		Long: `Use the order API from a terminal: what curl would do, with less to type. An API with AUTH_MODE=jwt asks for a
token: set MILLRACE_TOKEN (in the environment or in .env) or give --token. The token's user sees and places their
own orders; "millrace token" makes one for trying.`,
		Example: "  millrace order place --sku SKU-123 --qty 2 --wait\n  millrace order list --status FAILED",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.orderPlace(), p.orderShow(), p.orderList(), p.orderCancel(), p.orderWatch())
	return c
}

func escape(id string) string { return url.PathEscape(id) }

func (p *program) orderPlace() *cobra.Command {
	c := &cobra.Command{
		Use:   "place",
		Short: "Place an order",
		Long: `Place an order and print its id. Prices are the catalog's. With --wait, wait until the order has ended
and print it; then the exit code is 0 when it is CONFIRMED, and 2 when it ended otherwise.`,
		Example: `  millrace order place
  millrace order place --sku SKU-001 --qty 2 --sku SKU-002 --qty 1 --payment pm_card_declined --wait
  millrace order place --key 8e03978e-40d5-43e8 # the same key gives the same order`,
		Args: exactly(),
	}
	f := c.Flags()
	skus := f.StringSlice("sku", []string{"SKU-123"}, "what to order; repeat for more lines")
	qtys := f.IntSlice("qty", []int{1}, "how many; one for each --sku, or one for all")
	user := f.String("user", "usr_001", "who orders")
	currency := f.String("currency", "LKR", "the catalog's currency")
	payment := f.String("payment", "pm_card_ok", "means of payment; it chooses the fate at the simulator")
	key := f.String("key", "", "Idempotency-Key")
	wait := f.Bool("wait", false, "wait until the order has ended")
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		items, err := lines(*skus, *qtys)
		if err != nil {
			return err
		}
		request := struct {
			UserID        string `json:"userId"`
			Items         []line `json:"items"`
			Currency      string `json:"currency"`
			PaymentMethod string `json:"paymentMethod"`
		}{*user, items, *currency, *payment}
		api := at()
		raw, err := api.post(c.Context(), "/api/v1/orders", request, *key)
		if err != nil {
			return err
		}
		var answer placed
		if err := api.decode(raw, &answer); err != nil {
			return err
		}
		if !*wait {
			if p.json {
				return raws(p.Stdout, raw)
			}
			fmt.Fprintln(p.Stdout, answer.OrderID)
			fmt.Fprintf(p.Stderr, "%s; `millrace order watch %s` follows it\n", answer.Status, answer.OrderID)
			return nil
		}
		order, raw, err := p.follow(c.Context(), api, answer.OrderID, func(shown) error { return nil })
		if err != nil {
			return err
		}
		if err := p.printOrder(order, raw); err != nil {
			return err
		}
		if order.Status != "CONFIRMED" {
			return WithCode(Found, errSilent)
		}
		return nil
	}
	return c
}

// lines puts the flags --sku and --qty together.
func lines(skus []string, qtys []int) ([]line, error) {
	if len(qtys) != 1 && len(qtys) != len(skus) {
		return nil, fmt.Errorf("%d --sku and %d --qty: give one --qty for each --sku, or one for all", len(skus), len(qtys))
	}
	all := make([]line, len(skus))
	for i, sku := range skus {
		all[i] = line{SKU: sku, Qty: qtys[min(i, len(qtys)-1)]}
	}
	return all, nil
}

func (p *program) orderCancel() *cobra.Command {
	c := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ask for an order to be cancelled",
		Long: `Ask for an order to be cancelled. It is a request: an order whose confirmation is already decided
still ends CONFIRMED. An order that has ended is refused (order_settled).`,
		Example: "  millrace order cancel ord_01k9zq6v3e7x",
		Args:    exactly("ID"),
	}
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		api := at()
		raw, err := api.post(c.Context(), "/api/v1/orders/"+escape(args[0])+"/cancel", nil, "")
		if err != nil {
			return err
		}
		if p.json {
			return raws(p.Stdout, raw)
		}
		var answer placed
		if err := api.decode(raw, &answer); err != nil {
			return err
		}
		fmt.Fprintf(p.Stdout, "%s %s\n", answer.OrderID, answer.Status)
		fmt.Fprintln(p.Stderr, "asked for; `millrace order watch` shows how it ends")
		return nil
	}
	return c
}

func (p *program) orderWatch() *cobra.Command {
	c := &cobra.Command{
		Use:     "watch ID",
		Short:   "Follow an order until it has ended",
		Long:    "Print an order's timeline as it grows, until the order has ended. With --json, one entry a line.",
		Example: "  millrace order watch ord_01k9zq6v3e7x",
		Args:    exactly("ID"),
	}
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		seen := 0
		_, _, err := p.follow(c.Context(), at(), args[0], func(o shown) error {
			for _, m := range o.Timeline {
				if m.Seq <= seen {
					continue
				}
				seen = m.Seq
				if p.json {
					if err := writeJSON(p.Stdout, m); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(p.Stdout, "%s  %-20s  %s\n", moment(m.At), m.Event, p.paint(p.Stdout, m.Status, statusColour(m.Status)))
			}
			return nil
		})
		return err
	}
	return c
}

// follow polls an order until it has ended, and hands every change to each. A gateway that goes
// away for a few seconds is asked again.
func (p *program) follow(ctx context.Context, a api, id string, each func(shown) error) (shown, []byte, error) {
	const poll, patience = 200 * time.Millisecond, 25
	var tag string
	for failed := patience; ; { // the first answer must come
		order, raw, newTag, err := a.order(ctx, id, tag)
		var refusal *problem
		switch {
		case err == nil && len(raw) > 0:
			failed, tag = 0, newTag
			if err := each(order); err != nil || order.ended() {
				return order, raw, err
			}
		case err == nil: // as it was
			failed = 0
		case errors.As(err, &refusal) && refusal.status < 500, failed == patience:
			return shown{}, nil, err
		default:
			failed++
		}
		select {
		case <-ctx.Done():
			return shown{}, nil, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// raws passes a JSON answer on as it is.
func raws(w io.Writer, raw []byte) error {
	_, err := fmt.Fprintln(w, strings.TrimSpace(string(raw)))
	return err
}
