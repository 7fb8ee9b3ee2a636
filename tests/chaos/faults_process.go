package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"millrace/adapters/failpoint"
	"millrace/app/messages"
	"millrace/tests/freeport"
)

const (
	slowInventory = "saga/inventory-too-slow"
	sessionTime   = 10 * time.Second // after which Kafka takes a silent member's partitions away
)

// inShort says which services panic and are an hour off in short runs.
var inShort = map[string][]string{messages.InventoryService: onlyEmbedded, messages.Orchestrator: both}

// processFaults strike processes as a machine, an operator or a mistake in the code would.
func processFaults() []fault {
	all := []fault{
		rebalanceStorm(),
		inventoryTooSlow(),
	}
	for _, service := range services {
		all = append(all,
			restarted("process/kill-9/"+service, "kill -9 at any moment", "SIGKILL whatever it is doing; it is started again",
				where(service == messages.PaymentService, onlyEmbedded), service, syscall.SIGKILL, 1),
			restarted("process/sigterm-loop/"+service, "SIGTERM loop under load", "SIGTERM three times, each must end with exit code 0 within 10 s; it is started again",
				where(service == messages.Orchestrator, both), service, syscall.SIGTERM, 3))
	}
	for _, service := range messages.Consumers {
		all = append(all,
			suspended(service),
			atFailpoint("panic/"+service, "panicking handler", "the next three transactions of the service panic: each is one failed attempt",
				inShort[service], service, failpoint.AfterInbox, "panic", 3))
	}
	for i, service := range messages.Consumers {
		by := time.Hour
		if i%2 == 1 {
			by = -by
		}
		all = append(all, clockOff(service, by))
	}
	return all
}

const (
	timedOut = "SELECT count(*) FROM saga_journal WHERE type = ? AND outcome = 'applied'"
	gaveUp   = timedOut + ` AND state_after LIKE '%"undoing_inventory"%'` // and did not wait once more
)

// inventoryTooSlow lets the saga run out of patience with a participant that is alive.
func inventoryTooSlow() fault {
	return fault{
		name: slowInventory, kind: "participant slower than the saga", on: both, short: both, hurts: []string{messages.InventoryService},
		does: "the inventory service sleeps in front of 24 transactions, 2 s longer than the saga waits, and waits again",
		begin: func(ctx context.Context, w *world) (blow, error) {
			before, err := w.count(ctx, "orders", gaveUp, "InventoryTimedOut")
			if err != nil {
				return blow{}, err
			}
			longer := 2*w.opts.sagaTimeout() + 2*time.Second
			id, err := w.points.arm(failpoint.BeforeTransaction, messages.InventoryService, "delay:"+longer.String(), 1, 24)
			return blow{
				seen: func(ctx context.Context) (string, bool) {
					n, err := w.count(ctx, "orders", gaveUp, "InventoryTimedOut")
					return fmt.Sprintf("%d orders timed out, %v", n-before, err), err == nil && n > before+3
				},
				heal: func(context.Context) error { return w.points.disarm(id) },
			}, err
		},
	}
}

// restarted is a signal that ends one service, so many times.
func restarted(name, kind, does string, short []string, service string, s syscall.Signal, times int) fault {
	return fault{
		name: name, kind: kind, on: both, short: short, does: does, hurts: []string{service},
		begin: func(ctx context.Context, w *world) (blow, error) {
			p := w.system[service]
			for n := range times {
				if s == syscall.SIGTERM {
					if err := p.end(s, 10*time.Second); err != nil {
						return blow{}, err
					}
					if code := p.cmd.ProcessState.ExitCode(); code != 0 {
						w.broken("%s ended with %d after SIGTERM", p.name, code)
					}
					if err := p.start(); err != nil {
						return blow{}, err
					}
				} else if err := w.strike(p, s); err != nil {
					return blow{}, err
				}
				if n < times-1 {
					if err := w.await(ctx, backWithin, p.name+" is back", func() bool { return w.serves(service) }); err != nil {
						return blow{}, err
					}
				}
			}
			return blow{seen: func(context.Context) (string, bool) { return p.name, true }}, nil
		},
	}
}

// suspended stops a process for longer than Kafka waits for a member, and lets it go on with what
// it had in hand.
func suspended(service string) fault {
	return fault{
		name: "sigstop/" + service, kind: "SIGSTOP longer than the session time-out", on: []string{realStack}, hurts: []string{service},
		short: where(service == messages.PaymentService, onlyReal),
		does:  "SIGSTOP, 12 s, SIGCONT: its partitions belong to nobody or to others when it wakes up in the middle of its work",
		begin: func(_ context.Context, w *world) (blow, error) {
			p := w.system[service]
			return blow{
				seen: func(context.Context) (string, bool) { return p.name, true }, hold: sessionTime + 2*time.Second,
				heal: func(context.Context) error { return p.signal(syscall.SIGCONT) },
			}, p.signal(syscall.SIGSTOP)
		},
	}
}

// rebalanceStorm lets second instances of two services come and go.
func rebalanceStorm() fault {
	return fault{
		name: "kafka/rebalance-storm", kind: "rebalance storm", on: []string{realStack}, short: both,
		hurts: []string{messages.PaymentService, messages.Orchestrator, "kafka"},
		does:  "second instances of two services join their groups and leave, three times: half of them in order, half by SIGKILL",
		begin: func(ctx context.Context, w *world) (blow, error) {
			var joined atomic.Int32
			for n := range 3 {
				for i, service := range []string{messages.PaymentService, messages.Orchestrator} {
					port := freeport.Block(1)
					p := w.newProcess(service+"-second", w.binary, append(w.settings[:len(w.settings):len(w.settings)], "PORT="+strconv.Itoa(port)), "serve", service)
					if err := p.start(); err != nil {
						return blow{}, err
					}
					defer func() { _ = p.end(syscall.SIGKILL, time.Second) }() // whatever happens
					if err := w.await(ctx, 3*time.Second, "", func() bool { return open(port) }); err == nil {
						joined.Add(1)
					}
					pause(ctx, 500*time.Millisecond)
					s := syscall.SIGTERM
					if n == 1 && i == 0 {
						s = syscall.SIGKILL
					}
					if err := p.end(s, 10*time.Second); err != nil {
						return blow{}, err
					}
				}
			}
			return blow{seen: func(context.Context) (string, bool) {
				return fmt.Sprintf("%d members came and went", joined.Load()), joined.Load() >= 4
			}}, nil
		},
	}
}

// dated says where the time of a service's clock can be seen.
var dated = map[string][2]string{
	messages.OrderService:        {"orders", "SELECT count(*) FROM orders WHERE created_at "},
	messages.Orchestrator:        {"orders", "SELECT count(*) FROM saga_journal WHERE at "},
	messages.PaymentService:      {"payments", "SELECT count(*) FROM inbox WHERE handled_at "},
	messages.InventoryService:    {"inventory", "SELECT count(*) FROM inbox WHERE handled_at "},
	messages.NotificationService: {"notifications", "SELECT count(*) FROM inbox WHERE handled_at "},
}

func clockOff(service string, by time.Duration) fault {
	return fault{
		name: "clock/" + service, kind: "clock of one service an hour off", on: both, hurts: []string{service},
		short: inShort[service],
		does:  "its clock goes " + by.String() + " wrong for 4 s: what it writes carries that time",
		begin: func(ctx context.Context, w *world) (blow, error) {
			where, query := dated[service][0], dated[service][1]+"> ?"
			limit := time.Now().Add(by / 2)
			if by < 0 {
				query = dated[service][1] + "< ?"
			}
			before, err := w.count(ctx, where, query, limit.UTC())
			if err != nil {
				return blow{}, err
			}
			id, err := w.points.shift(service, by.String())
			return blow{
				seen: func(ctx context.Context) (string, bool) {
					n, err := w.count(ctx, where, query, limit.UTC())
					return fmt.Sprintf("%d rows carry that time, %v", n-before, err), err == nil && n > before
				},
				hold: 4 * time.Second,
				heal: func(context.Context) error { return w.points.disarm(id) },
			}, err
		},
	}
}
