package main

import (
	"context"
	"fmt"
	"time"

	"millrace/app/messages"
)

const slowProvider = "provider/slower-than-the-saga"

// providerFaults strike the payment provider and the way to it.
func providerFaults() []fault {
	hurts := []string{"provider", messages.PaymentService}
	spoiled := func(name, kind, does string, times int64, hold time.Duration, spoil func(*world) mode) fault {
		return fault{
			name: name, kind: kind, on: both, short: both, does: does, hurts: hurts,
			begin: func(_ context.Context, w *world) (blow, error) {
				before := w.mischief.done.Load()
				w.mischief.set(spoil(w))
				return blow{
					seen: func(context.Context) (string, bool) {
						n := w.mischief.done.Load() - before
						return fmt.Sprintf("%d calls", n), n >= times
					},
					hold: hold, heal: func(context.Context) error { w.mischief.set(nil); return nil },
				}, nil
			},
		}
	}
	slow := spoiled(slowProvider, "provider slower than the saga", "charges are on their way for 2 s longer than the saga waits; then they arrive", 3, 0,
		func(w *world) mode { return w.mischief.dawdle(w.opts.sagaTimeout() + 2*time.Second) })
	begin := slow.begin
	slow.begin = func(ctx context.Context, w *world) (blow, error) {
		before, err := w.count(ctx, "orders", timedOut, "PaymentTimedOut")
		if err != nil {
			return blow{}, err
		}
		b, err := begin(ctx, w)
		b.seen = func(ctx context.Context) (string, bool) {
			n, err := w.count(ctx, "orders", timedOut, "PaymentTimedOut")
			return fmt.Sprintf("%d orders timed out, %v", n-before, err), err == nil && n > before+3
		}
		return b, err
	}
	return []fault{
		spoiled("provider/5xx", "provider answers 5xx", "every call is answered 500 for some seconds, in which the circuit opens", 3, 3*time.Second,
			func(w *world) mode { return w.mischief.unwell }),
		spoiled("provider/answer-lost", "provider's answer lost after the capture", "charges happen, and their answers never come: they are found by asking", 6, 0,
			func(w *world) mode { return w.mischief.swallow }),
		slow,
		{
			name: "provider/down", kind: "provider unreachable", on: both, short: onlyEmbedded, hurts: hurts,
			does: "the link to the provider is cut for 3 s",
			begin: func(_ context.Context, w *world) (blow, error) {
				w.links["provider"].cut()
				return blow{
					seen: func(context.Context) (string, bool) { return "the link is cut", true }, hold: 3 * time.Second,
					heal: func(context.Context) error { return w.links["provider"].mend() },
				}, nil
			},
		},
	}
}
