package main

import (
	"context"
	"fmt"
	"strings"
)

// raceFaults let callers meet at one thing.
func raceFaults() []fault {
	race := func(name, kind string, short []string, does string, once bool, batches ...string) fault {
		return fault{
			name: name, kind: kind, on: both, short: short, once: once, does: does, hurts: []string{"callers"},
			begin: func(_ context.Context, w *world) (blow, error) {
				for _, batch := range batches {
					if err := w.tell(true, "batch %s", batch); err != nil {
						return blow{}, err
					}
				}
				return blow{seen: func(context.Context) (string, bool) { return strings.Join(batches, ", then "), true }}, nil
			},
		}
	}
	return []fault{
		race("race/last-item", "oversell race for the last item", both, "two of three are sold, then 100 callers want the last one at the same moment", true,
			fmt.Sprintf("2 %s", lastItem), fmt.Sprintf("100 %s", lastItem)),
		race("race/cancel-capture", "cancel racing the capture", onlyEmbedded, "30 orders are cancelled within 60 ms of being accepted", false,
			fmt.Sprintf("30 %s", cancelRace)),
	}
}
