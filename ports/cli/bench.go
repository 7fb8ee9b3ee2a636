package cli

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func (p *program) bench() *cobra.Command {
	l := load{}
	c := &cobra.Command{
		Use:   "bench --orders N --concurrency C",
		Short: "Place many orders and measure",
		Long: `Place many orders, wait until all have ended, and print rates and latencies.

Without --rate it is a closed loop: C requests at a time, as fast as they are answered. With --rate
orders begin on time whatever the system does, and every latency is counted from when the order
should have begun, so that waiting in line is not left out. --max-open keeps the number of orders
under way steady; a burst without it flatters a system that works in batches.

accept is from the order's begin to the 202. confirm is from there to the moment at which the saga
decided the order's end, which the order itself tells (updatedAt), so it does not depend on how often
is looked: it is exact as far as the two clocks agree, which on one machine they do.

completed are the orders that ended CONFIRMED and whose OrderCompleted was handled by the notification
service, the last to do so; refused those that were answered 503 "overloaded" because more came than
could be worked off; failed are all others. The rate ends when the last of them was handled, and
with --max-open an order is under way until then. That is read from the service's metrics: where its
address is not the gateway's port and four more, say so with --handled-at, once for each of its
processes. Where nothing answers there, or one of them was started anew meanwhile, a line says so, and
completed is what the saga decided. Other load at the same time is counted too: give none.

Each order is another user's, so an API with AUTH_MODE=jwt wants a token with the scope orders:all.

Exits 2 when an order failed. Whether mails and books are right is "millrace verify --settled"'s affair.`,
		Example: "  millrace bench --orders 1000 --concurrency 16\n  millrace bench --orders 300 --rate 10 --json",
		Args:    exactly(),
	}
	f := c.Flags()
	f.IntVar(&l.orders, "orders", 1000, "how many orders to place")
	f.IntVar(&l.concurrency, "concurrency", 16, "how many requests at a time")
	f.Float64Var(&l.rate, "rate", 0, "orders a second; 0 for as fast as they are accepted")
	f.IntVar(&l.maxOpen, "max-open", 0, "at most so many orders accepted and not ended; 0 for any number")
	f.IntVar(&l.skus, "skus", 100, "spread over SKU-001 to this one, at most 100")
	f.StringVar(&l.payment, "payment", "pm_card_ok", "means of payment")
	f.DurationVar(&l.patience, "patience", time.Minute, "give up when no order has ended for so long")
	var handledAt []string
	f.StringSliceVar(&handledAt, "handled-at", nil, "where the notification service is (default the gateway's port and 4 more)")
	at := p.urlFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := l.check(); err != nil {
			return err
		}
		l.api, l.now = at(), p.Now
		if p.ownHTTP {
			l.api.http = benchClient(l.concurrency)
		}
		if u, err := url.Parse(l.api.base); err == nil && !isLoopback(u.Hostname()) {
			fmt.Fprintf(p.Stderr, "%s is another machine: confirm latencies are right only if its clock and this one agree\n", u.Host)
		}
		if !c.Flags().Changed("handled-at") {
			handledAt = notificationAt(l.api.base)
		}
		var err error
		if l.handled, err = watchHandled(c.Context(), l.api.http, handledAt); err != nil && c.Flags().Changed("handled-at") {
			return fmt.Errorf("--handled-at: %w", err)
		} else if err != nil {
			fmt.Fprintln(p.Stderr, "the notification service's metrics are not to be had (--handled-at): completed is what the saga decided")
		}
		progress, finish := p.progress(l.orders)
		m, err := l.run(c.Context(), progress)
		finish()
		if err != nil {
			return err
		}
		if l.handled != nil && l.handled.lost {
			fmt.Fprintln(p.Stderr, "the notification service was started anew meanwhile: completed is what the saga decided")
		}
		if p.json {
			err = writeJSON(p.Stdout, m.result())
		} else {
			p.printBench(m.result())
		}
		for _, reason := range slices.Sorted(maps.Keys(m.failures)) {
			fmt.Fprintf(p.Stderr, "%d orders failed: %s\n", m.failures[reason], reason)
		}
		if err == nil && len(m.failures) > 0 {
			return WithCode(Found, errSilent)
		}
		return err
	}
	return c
}

func (l *load) check() error {
	switch {
	case l.orders < 1:
		return errors.New("--orders must be at least 1")
	case l.concurrency < 1:
		return errors.New("--concurrency must be at least 1")
	case l.rate < 0 || l.maxOpen < 0:
		return errors.New("--rate and --max-open must not be negative; 0 means no bound")
	case l.skus < 1 || l.skus > 100:
		return errors.New("--skus must be 1 to 100")
	case l.patience <= 0:
		return errors.New("--patience must be above zero, such as 1m")
	}
	return nil
}

// benchClient keeps a connection for every request that can be under way.
func benchClient(concurrency int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: concurrency + 2, DisableCompression: true, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// progress shows on a terminal how many orders have ended.
func (p *program) progress(orders int) (ended func(int), finish func()) {
	if !p.Terminal(p.Stderr) {
		return func(int) {}, func() {}
	}
	bar := progressbar.NewOptions(orders, progressbar.OptionSetWriter(p.Stderr), progressbar.OptionSetDescription("orders ended"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return func(n int) { _ = bar.Set(n) }, func() { _ = bar.Finish() }
}

func (p *program) printBench(r benchResult) {
	p.table(p.Stdout, nil, [][]cell{
		{word("orders").in(faint), word("%d", r.Orders)},
		{word("accepted").in(faint), word("%d", r.Accepted), word("%.1f/s", r.AcceptedPerSecond)},
		{word("refused").in(faint), word("%d", r.Refused)},
		{word("completed").in(faint), word("%d", r.Completed), word("%.1f/s", r.CompletedPerSecond)},
		{word("failed").in(faint), word("%d", r.Failed)},
	})
	fmt.Fprintln(p.Stdout)
	p.table(p.Stdout, []string{"MS", "P50", "P90", "P99"}, [][]cell{
		{word("accept"), word("%.1f", r.Accept.P50), word("%.1f", r.Accept.P90), word("%.1f", r.Accept.P99)},
		{word("confirm"), word("%.1f", r.Confirm.P50), word("%.1f", r.Confirm.P90), word("%.1f", r.Confirm.P99)},
	})
}
