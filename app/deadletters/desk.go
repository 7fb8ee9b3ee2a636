// Package deadletters is what an operator does about what the services gave up: messages that a
// handler refused, and acts in the outside world that were refused for good. Look, plan, apply:
// nothing is acted on that was not seen first, and nothing counts as done because it was sent.
// No SQL, Kafka or terminal may be in this package.
package deadletters

import (
	"context"
	"time"
)

// Desk is where an operator deals with letters: looks at them, plans what is to be done, and applies the plan.
type Desk struct {
	letters  Letters
	planning Planning
	leases   Leases
	acts     Acts
	outcomes Outcomes
	audit    Audit
	now      func() time.Time
	pause    func(context.Context, time.Duration) error // between two looks at what is under way
}

// NewDesk makes the use cases.
func NewDesk(s Store, now func() time.Time, pause func(context.Context, time.Duration) error) *Desk {
	return &Desk{letters: s, planning: s, leases: s, acts: s, outcomes: s, audit: s, now: now, pause: pause}
}

// List gives the letters that a filter chooses.
func (d *Desk) List(ctx context.Context, f Filter) ([]Letter, error) { return d.letters.List(ctx, f) }

// Show gives everything about one letter. It fails with ErrNoLetter.
func (d *Desk) Show(ctx context.Context, id string) (Whole, error) { return d.letters.Show(ctx, id) }
