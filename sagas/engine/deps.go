// Package engine carries the saga: it loads a saga's state, asks the pure function what to do,
// and saves state, order, timeline, timers, journal and outgoing messages in one transaction.
// What to do is decided in sagas/order; nothing is decided here. No SQL, Kafka or clock of its
// own may be in this package.
package engine

import (
	"context"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	domain "millrace/domain/order"
	saga "millrace/sagas/order"
)

// ErrNoOrder: the message belongs to an order that was never accepted here. An order is stored
// before its first message leaves, so this does not mend itself.
var ErrNoOrder = fault.New(fault.Invalid, "unknown_order", "no such order was ever accepted")

// ErrDefinition: the saga is of a version that this build does not have; it began with a newer build,
// which may run beside this one during a roll-out. Its messages and timers wait, as for a dependency
// that is away, until a build comes that has the version: nothing is lost, and nothing is decided by
// a definition that is not the saga's.
// What has ended is another matter: an end absorbs in every version.
var ErrDefinition = fault.New(fault.Unavailable, "unknown_definition", "this build has no code for the saga's definition version: it waits for a build that has")

// errEnded: the saga has ended, with a version that this build does not have.
var errEnded = fault.New(fault.Conflict, "saga_ended", "the saga has ended, with a definition version that this build has no code for")

// Work is one transaction of ordering. Do commits when fn returns nil and otherwise leaves no
// trace. For one message id in ctx, fn takes effect at most once; it may be run more than once,
// so it does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can see and stage.
type Tx interface {
	// Sagas gives the sagas of those orders that exist, each locked until the end. An order
	// whose saga has not begun has an Instance of Version 0. Of one whose Definition this build has no
	// code for, State may hold less than is stored.
	Sagas(ctx context.Context, orderIDs ...string) (map[string]*Instance, error)
	// Keep stages the saga's new state and, with it, the order's status.
	Keep(i *Instance)
	// Mark stages an entry of the order's timeline.
	Mark(orderID string, entry domain.Entry)
	// SetTimer stages a time-out, due after a while by the database's clock.
	SetTimer(t DueTimer, after time.Duration)
	// ClearTimer stages the end of a timer, fired or not.
	ClearTimer(t DueTimer)
	// Journal stages an entry.
	Journal(e Entry)
	// Publish stages a message for the outbox. The n-th of a transaction has the id
	// messages.DerivedID(cause, name, n).
	Publish(m messages.Message) error
}

// Instance is one order's saga as it is stored.
type Instance struct {
	OrderID     string
	Definition  int // version of the definition that decides for it: the one that it began with, or was migrated to
	State       saga.State
	Version     int // moves with every change; 0 before the first
	JournalSeq  int
	JournalHash string
	TimelineSeq int
	EnteredAt   time.Time // when it came into its present step
	PlacedAt    time.Time // when the order was accepted
}

// Timeouts says how long the saga waits for its participants.
type Timeouts struct {
	Payment   time.Duration
	Inventory time.Duration
}

// Of gives how long a saga's timer runs.
func (t Timeouts) Of(timer string) time.Duration {
	if timer == saga.InventoryTimer {
		return t.Inventory
	}
	return t.Payment
}

// Observer hears what happens to sagas, after it is committed.
type Observer interface {
	OrderCompleted(status, reason string, took time.Duration)
}
