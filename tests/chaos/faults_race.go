package main

import (
	"context"
	"errors"
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
		{
			name: "dlq/redriven-shuffled-twice", kind: "redrive shuffled and twice", on: both, hurts: everybody, alone: true, short: both,
			does: "the dead letters of the run are sent again, out of order and twice",
			able: func(w *world) error { return w.lacks("dlq", "no attack on redriving is written yet") },
			begin: func(context.Context, *world) (blow, error) {
				return blow{}, errors.New("it cannot be planned")
			},
		},
	}
}

// has asks the program whether it has a verb.
func (w *world) has(verb string) bool {
	text, err := w.run(context.Background(), verb, "--help")
	return err == nil && strings.Contains(text, "millrace "+verb)
}

func (w *world) lacks(verb, otherwise string) error {
	if !w.has(verb) {
		return fmt.Errorf("this build has no `millrace %s`", verb)
	}
	return errors.New(otherwise)
}
