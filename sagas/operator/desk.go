// Package operator is what an operator does about sagas that stand where they should not: plan, look at
// the plan, apply it. Nothing is acted on that was not seen first, nothing is done twice, and nothing
// counts as done because it was sent. What an act does is decided in sagas/order and carried out by
// sagas/engine. No SQL, Kafka or terminal may be in this package.
package operator

import (
	"context"
	"time"

	"millrace/sagas/engine"
)

// Desk is where an operator deals with sagas: plans what is to be done, and applies the plan.
type Desk struct {
	planning Planning
	leases   Leases
	acts     Acts
	outcomes Outcomes
	audit    Audit
	waits    engine.Timeouts
	now      func() time.Time
	pause    func(context.Context, time.Duration) error // between two looks at what is under way
}

// NewDesk makes the use cases. A plan sets the time-outs that are given here; applying one sets those that
// it states.
func NewDesk(s Store, acts Acts, waits engine.Timeouts, now func() time.Time, pause func(context.Context, time.Duration) error) *Desk {
	return &Desk{planning: s, leases: s, acts: acts, outcomes: s, audit: s, waits: waits, now: now, pause: pause}
}
