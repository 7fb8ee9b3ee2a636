package operator

import (
	"context"
	"time"

	"millrace/domain/plan"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
)

// Store is what the services' databases know. NewDesk takes it whole; each use case asks for the part that it needs:
// Planning to plan, and the others to apply.
type Store interface {
	Planning
	Leases
	Outcomes
	Audit
}

// Planning is what a plan is made with.
type Planning interface {
	Receipts
	// Standings gives the sagas of those orders that exist, with what an act on them needs.
	Standings(ctx context.Context, orderIDs []string) (map[string]Standing, error)
}

// Leases keep two applies from acting on one order at once, be it on its saga or on its dead letters at any service. An
// act acquires the lease of its order in its own transaction, and Audit's Note releases it.
type Leases interface {
	// RenewLeases renews the leases of the orders that a plan acts on, which run out after ten minutes. An apply that is
	// alive calls it at every look, so that only a dead one loses its leases.
	RenewLeases(ctx context.Context, seal string) error
}

// Outcomes are where it is seen what became of acts.
type Outcomes interface {
	// Progress gives where sagas are now.
	Progress(ctx context.Context, orderIDs []string) (map[string]Progress, error)
}

// Audit is what was done, and what became of it.
type Audit interface {
	// Begun gives when the acts of a plan were done, by order.
	Begun(ctx context.Context, seal string) (map[string]time.Time, error)
	// Note keeps what became of an act behind the act itself, and releases the lease of its order. Saying the same
	// again changes nothing.
	Note(ctx context.Context, actID string, r plan.Result) error
}

// Acts carries one act out; engine.Operator.
type Acts interface {
	Operate(ctx context.Context, c engine.Command) error
}

// Standing is where a saga is.
type Standing struct {
	Version    int
	Definition int // 0 before it began
	State      saga.State
	Unreadable string // why this build cannot read the stored state, of which State then has the step at most; "" when it can
	Total      int64
	Currency   string
	Again      []engine.Again // of what its step waits for, that which was sent and lies in an outbox
	Books      engine.Books   // of the participant that its step waits for
}

// Progress is where a saga is while an act takes effect.
type Progress struct {
	Version    int
	State      saga.State
	Unreadable string // as in Standing
	Dead       []Dead
}

// Dead is a dead letter of the order that waits for a person.
type Dead struct {
	At      time.Time // last attempt
	Handler string
	Reason  string
}
