package deadletters

import (
	"context"

	"millrace/domain/plan"
)

// Store is what the databases of all services know and do about letters. NewDesk takes it whole; each use case asks for
// the part that it needs: Letters to list and to show, Letters and Planning to plan, and all but Letters to apply.
type Store interface {
	Letters
	Planning
	Leases
	Acts
	Outcomes
	Audit
}

// Letters are the letters as they are listed and shown.
type Letters interface {
	// List gives letters, those of one order in their sequence.
	List(ctx context.Context, f Filter) ([]Letter, error)
	// Show fails with fault.NotFound.
	Show(ctx context.Context, id string) (Whole, error)
}

// Planning is what a plan is made with.
type Planning interface {
	// Effects gives what can come of an act on letters, by letter: its own share, and that of what is parked
	// behind it. What two of them would both do counts once, for the first. It changes nothing.
	Effects(ctx context.Context, action, outcome string, letters []Letter) (map[string]Effects, error)
	// SettleOutcomes are the outcomes that Settle takes for a handler's letters; none for a message.
	SettleOutcomes(handler string) []string
}

// Leases keep two applies from acting on one order at once, be it on its saga or on its dead letters at any service.
type Leases interface {
	// AcquireLease acquires the lease of an order for the plan of an act: until it is released, no apply of another
	// plan acts on that order. It fails with ErrLeaseHeld while another plan has it; a plan that has it keeps it. It
	// runs out after ten minutes.
	AcquireLease(ctx context.Context, orderID string, by plan.Attribution) error
	// RenewLeases renews the leases that the plan has, and gives their orders. An apply that is alive calls it at
	// every look, so that only a dead one loses its leases.
	RenewLeases(ctx context.Context, by plan.Attribution) ([]string, error)
	// ReleaseLease releases the lease of an order. One that the plan does not have is left as it is.
	ReleaseLease(ctx context.Context, orderID string, by plan.Attribution) error
}

// Acts are what a plan can do to a letter, each in one transaction with everything that says so. They fail with
// ErrChanged when the letter is not as planned, and with ErrBehind when another one of its order is in front.
type Acts interface {
	// Redrive sends the letter to its handler again.
	Redrive(ctx context.Context, item Item, by plan.Attribution) error
	// Discard ends the letter without effect, and lets what waits behind it go.
	Discard(ctx context.Context, item Item, by plan.Attribution) error
	// Settle ends the letter of an act with what a person says became of it, and tells the other services. It fails
	// with fault.Conflict too, when there is nothing to settle.
	Settle(ctx context.Context, item Item, outcome string, by plan.Attribution) error
}

// Outcomes are where it is seen what became of letters and of what waited behind them.
type Outcomes interface {
	// Progress gives where letters of a service are now; those that are not there are left out.
	Progress(ctx context.Context, service string, ids []string) (map[string]Progress, error)
	// Behind gives the messages that are parked behind a letter, in their sequence.
	Behind(ctx context.Context, item Item) ([]Letter, error)
}

// Audit is what was done, by whom, and what became of it.
type Audit interface {
	// Begun gives the letters of a service on which the plan of an act has acted, in this run or in an earlier one.
	Begun(ctx context.Context, service string, by plan.Attribution) ([]string, error)
	// Note keeps what became of an act behind the act itself. Saying the same again changes nothing.
	Note(ctx context.Context, item Item, action string, by plan.Attribution, r plan.Result) error
}
