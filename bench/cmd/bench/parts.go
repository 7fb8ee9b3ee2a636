package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// conductor carries a plan out.
type conductor struct {
	plan    plan
	servers *servers
	report  *report
	put     func(load) (outcome, error) // on whoever has the turn
}

type part func(context.Context, *conductor) error

// allParts are the parts of a full run, in order.
var allParts = []string{"steady", "more", "curves", "latency", "soak"}

var partNamed = map[string]part{"steady": steady, "more": more, "curves": curves, "latency": latency, "soak": soak, "quick": quick}

func partsOf(p plan) ([]part, error) {
	names := allParts
	switch {
	case p.quick && p.only != "":
		return nil, errors.New("-quick and -only exclude each other")
	case p.quick:
		names = []string{"quick"}
	case p.only != "":
		names = strings.Split(p.only, ",")
	}
	if p.rounds < 1 || p.scale <= 0 {
		return nil, errors.New("-rounds and -scale must be above zero")
	}
	var parts []part
	for _, name := range names {
		found, ok := partNamed[name]
		if !ok {
			return nil, fmt.Errorf("-only %s: the parts are %s", name, strings.Join(allParts, ", "))
		}
		parts = append(parts, found)
	}
	return parts, nil
}

// open is how many orders may be under way in steady load.
const open = 1000

// rates measures steady load and a burst.
func (c *conductor) rates(m maker, steadyOrders, burstOrders int) func(*contestant) error {
	return func(who *contestant) error {
		before, times := who.cpu(), c.servers.times(who)
		o, err := c.put(load{orders: steadyOrders, maxOpen: open})
		if err != nil {
			return err
		}
		for _, t := range c.servers.times(who).since(times) {
			c.report.sample("processor of "+m.name, t.name, "ms/order", t.spent.Seconds()*1000/float64(o.Orders))
		}
		c.report.sample("steady", m.name, "orders/s", o.CompletedPerSecond)
		c.report.sample("processor", m.name, "ms/order", float64((who.cpu()-before).Milliseconds())/float64(o.Orders))
		if burstOrders > 0 {
			if o, err = c.put(load{orders: burstOrders}); err != nil {
				return err
			}
			c.report.sample("burst", m.name, "orders/s", o.CompletedPerSecond)
		}
		peak := 0.0
		for _, p := range who.measured {
			peak = max(peak, p.memory("VmHWM:"))
		}
		c.report.sample("memory", m.name, "MB", peak)
		return nil
	}
}

// rate measures one figure.
func (c *conductor) rate(measure, name string, l load) func(*contestant) error {
	return func(*contestant) error {
		o, err := c.put(l)
		if err == nil {
			c.report.sample(measure, name, "orders/s", o.CompletedPerSecond)
		}
		return err
	}
}

// paced measures latency at an offered rate, for some seconds.
func (c *conductor) paced(measure, name string, rate float64, seconds int) func(*contestant) error {
	return func(*contestant) error {
		o, err := c.put(load{orders: int(rate) * seconds, rate: rate})
		if err == nil {
			c.report.sample(measure+" p50", name, "ms", o.Confirm.P50)
			c.report.sample(measure+" p99", name, "ms", o.Confirm.P99)
		}
		return err
	}
}

func (c *conductor) postgres(ctx context.Context, seconds int) error {
	for _, script := range []string{"cte", "plain"} {
		if err := c.servers.settle(ctx); err != nil {
			return err
		}
		rate, err := c.servers.pgbench(ctx, script, seconds)
		if err != nil {
			c.report.fail("pgbench-"+script, err)
			continue
		}
		c.report.sample("steady", "pgbench-"+script, "orders/s", rate)
		c.report.keep()
	}
	return nil
}

// steady lets all take turns, in an order that changes with the round.
func steady(ctx context.Context, c *conductor) error {
	for n := range c.plan.rounds {
		turns := []func() error{
			func() error { return c.round(ctx, ours, 2000, c.rates(ours, 15000, 15000)) },
			func() error { return c.round(ctx, watermill, 500, c.rates(watermill, 5000, 5000)) },
			func() error { return c.round(ctx, oursOne, 2000, c.rates(oursOne, 15000, 15000)) },
			func() error { return c.round(ctx, river, 1000, c.rates(river, 7000, 5000)) },
			func() error { return c.round(ctx, oursReal, 2000, c.rates(oursReal, 10000, 0)) },
			func() error { return c.postgres(ctx, 15) },
		}
		for i := range turns {
			say("round %d of %d, turn %d of %d", n+1, c.plan.rounds, i+1, len(turns))
			if err := turns[(i+n)%len(turns)](); err != nil {
				return err
			}
		}
	}
	return nil
}

// more measures Millrace against itself, interleaved too, and the other way round in every second round.
func more(ctx context.Context, c *conductor) error {
	for n := range c.plan.rounds {
		say("Millrace against itself, round %d of %d", n+1, c.plan.rounds)
		hot := func(who *contestant) error {
			skus := []func(*contestant) error{
				c.rate("hot SKUs", "hundred", load{orders: 6000, maxOpen: open}),
				c.rate("hot SKUs", "ten", load{orders: 6000, maxOpen: open, skus: 10}),
			}
			return errors.Join(skus[n%2](who), skus[(n+1)%2](who))
		}
		turns := []func() error{
			func() error { return c.round(ctx, ours, 1000, hot) },
			func() error {
				return c.round(ctx, oursTwice, 1000, c.rate("copies", "two", load{orders: 8000, maxOpen: open}))
			},
			func() error {
				return c.round(ctx, ours, 1000, c.rate("copies", "one", load{orders: 8000, maxOpen: open}))
			},
			func() error {
				return c.round(ctx, embedded, 1000, c.rate("steady", "embedded", load{orders: 8000, maxOpen: open}))
			},
			func() error { return c.round(ctx, oursReal, 500, c.paced("100/s", "millrace-real", 100, 20)) },
			func() error { return c.round(ctx, ours, 2000, c.paced("800/s", "millrace", 800, 15)) },
		}
		if n%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	return nil
}

// contestants are those who are drawn, with the share of the orders that each can take in one time.
var contestants = []struct {
	maker
	share float64
}{{ours, 1}, {watermill, 0.15}, {river, 0.25}}

// curves measures throughput against the number of orders under way.
func curves(ctx context.Context, c *conductor) error {
	for _, who := range contestants {
		say("throughput of %s against concurrency", who.name)
		err := c.round(ctx, who.maker, int(2000*who.share), func(*contestant) error {
			for _, n := range []int{4, 16, 64, 256, 1000, 4000} {
				orders := int(min(12000, 400*float64(n)) * who.share)
				o, err := c.put(load{orders: max(orders, n), maxOpen: n})
				if err != nil {
					return err
				}
				c.report.point("throughput", who.name, float64(n), o.CompletedPerSecond)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// latency measures latency against the offered rate, until a contestant does not keep up.
func latency(ctx context.Context, c *conductor) error {
	offered := []float64{25, 50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2000}
	for _, who := range contestants {
		say("latency of %s against the offered rate", who.name)
		err := c.round(ctx, who.maker, int(2000*who.share), func(*contestant) error {
			for _, rate := range offered {
				o, err := c.put(load{orders: int(rate * 10), rate: rate})
				if err != nil {
					return err
				}
				c.report.point("latency p50", who.name, rate, o.Confirm.P50)
				c.report.point("latency p99", who.name, rate, o.Confirm.P99)
				if o.Confirm.P50 > 2000 {
					return nil // it only queues from here on
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// soak measures whether 200,000 orders make Millrace slower, and ten minutes of them slower or larger. What is over
// is cleaned up meanwhile: outbox, inbox and answers to repeated requests are kept for a minute.
func soak(ctx context.Context, c *conductor) error {
	const lap, laps, few = 10000, 20, 3
	long := time.Duration(c.plan.scale * float64(10*time.Minute))
	return c.round(ctx, oursLong, lap, func(who *contestant) error {
		var rates, largest []float64
		for began := time.Now(); len(rates) < laps || time.Since(began) < long; {
			o, err := c.put(load{orders: lap, maxOpen: open})
			if err != nil {
				return err
			}
			peak := 0.0
			for _, p := range who.measured {
				peak = max(peak, p.memory("VmRSS:"))
			}
			rates, largest = append(rates, o.CompletedPerSecond), append(largest, peak)
			say("  lap %d: %.0f orders/s, %.0f MB", len(rates), o.CompletedPerSecond, peak)
		}
		for i := range few {
			c.report.sample("soak", "first", "orders/s", rates[i])
			c.report.sample("soak", "twentieth", "orders/s", rates[laps-few+i])
			c.report.sample("soak", "last", "orders/s", rates[len(rates)-few+i])
		}
		for i, peak := range largest {
			half := "first half"
			if i >= len(largest)/2 {
				half = "second half"
			}
			c.report.sample("soak memory", half, "MB", peak)
		}
		return nil
	})
}

// quick is one small round of everything that is compared.
func quick(ctx context.Context, c *conductor) error {
	turns := []struct {
		maker
		warm    int
		measure func(*contestant) error
	}{
		{ours, 500, func(who *contestant) error {
			return errors.Join(c.rates(ours, 4000, 4000)(who), c.paced("100/s", "millrace", 100, 5)(who))
		}},
		{watermill, 50, c.rates(watermill, 400, 400)},
		{oursOne, 500, c.rates(oursOne, 4000, 0)},
		{river, 100, c.rates(river, 1000, 1000)},
		{oursReal, 300, c.rates(oursReal, 2500, 0)},
	}
	for turn := range slices.Values(turns) {
		say("%s", turn.name)
		if err := c.round(ctx, turn.maker, turn.warm, turn.measure); err != nil {
			return err
		}
	}
	return c.postgres(ctx, 5)
}
