package order

import (
	"slices"

	"millrace/domain/fault"
)

// Definition is one version of the saga. A saga keeps the version that it began with, so that what
// is decided for an order does not change under way; several run side by side.
//
// All versions share one Decide. What stands here is all in which they differ, so that two of them
// can be compared line by line, and a mistake that is mended in what they share is mended for all.
type Definition struct {
	Version        int // stored with every saga and written beside every decision
	InventoryWaits int // how often inventory's answer is waited for before the order is undone
}

// definitions are the versions that this build has, the oldest first. One whose decisions are to
// change gets a line of its own; the lines before it are never edited. A line is taken out when no
// saga of it is open: `millrace saga drain` counts them, and an orchestrator without the line
// refuses to start while there are some.
var definitions = []Definition{
	{Version: 1, InventoryWaits: 1},
	{Version: 2, InventoryWaits: 2}, // a shelf that is slow once does not cost the sale
}

// Version is the version that new sagas begin with. It grows whenever the same State and Input are
// to be answered differently.
const Version = 2

// Versions lists the versions that this build has code for, the oldest first.
func Versions() []int {
	all := make([]int, len(definitions))
	for i, d := range definitions {
		all[i] = d.Version
	}
	return all
}

// Of gives the definition with that version; false when this build has no code for it.
func Of(version int) (Definition, bool) {
	i := slices.IndexFunc(definitions, func(d Definition) bool { return d.Version == version })
	if i < 0 {
		return Definition{}, false
	}
	return definitions[i], true
}

// Current is the definition that new sagas begin with.
func Current() Definition {
	d, _ := Of(Version) // a test holds the two together
	return d
}

// ErrNoVersion: this build has no code for the version that a saga is to come from, or to go to.
var ErrNoVersion = fault.New(fault.Invalid, "unknown_definition", "this build has no code for that version of the saga's definition")

// ErrNotMigrated: the saga has ended, and what has ended does not change any more.
var ErrNotMigrated = fault.New(fault.Conflict, "saga_ended", "the saga has ended: its version stays the one that it ended with")

// Migrate gives the state with which a saga of one version goes on as one of another. Nothing is
// sent and no timer is touched: the one that runs stays good, because step and entry stay. A state
// says no more than the new version could have said itself: time-outs of inventory's that it would
// not have let pass are forgotten, and the one that runs is then its last.
//
// It fails with ErrNoVersion, and with ErrNotMigrated for a saga that has ended. Migrating a saga to
// the version that it has gives the state as it is.
func Migrate(s State, from, to int) (State, error) {
	_, known := Of(from)
	target, has := Of(to)
	switch {
	case !known || !has:
		return State{}, ErrNoVersion
	case s.Step.Terminal():
		return State{}, ErrNotMigrated
	}
	s.Held = slices.Clone(s.Held) // the caller's state is not ours to share
	s.Waited = min(s.Waited, target.InventoryWaits-1)
	return s, nil
}
