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
