package order

import "fmt"

// migratedWorlds are searched with an operator who takes sagas from version to version, at any time
// and back again.
var migratedWorlds = []namedWorld{
	{"one order", model{orders: 1, stock: 1, repeats: -1, timeouts: true, cancels: true, migrates: 1}},
	{"one order, there and back", model{orders: 1, stock: 1, repeats: 1, timeouts: true, cancels: true, migrates: 2}},
	{"one order, nothing in stock, there and back", model{orders: 1, stock: 0, repeats: 1, timeouts: true, cancels: true, migrates: 2}},
	{"one order, undisturbed, there and back", model{orders: 1, stock: 1, repeats: -1, migrates: 2}},
	{"two orders, one item", model{orders: 2, stock: 1, repeats: 0, timeouts: true, cancels: true, migrates: 1}},
}

// operatedWorlds are searched with an operator to whom a migration is an act among the others: any of them, in any
// sequence, at any time.
var operatedWorlds = []namedWorld{
	{"one order, two acts", model{orders: 1, stock: 1, repeats: 0, timeouts: true, cancels: true, acts: 2}},
	{"one order, nothing in stock, two acts", model{orders: 1, stock: 0, repeats: 0, timeouts: true, cancels: true, acts: 2}},
	{"one order, three acts", model{orders: 1, stock: 1, repeats: 0, timeouts: true, acts: 3}},
	{"two orders, one item, one act", model{orders: 2, stock: 1, repeats: 0, acts: 1}},
}

// decideFor is the definition that decides for a lane.
func (m *model) decideFor(l lane) func(State, Input) Decision {
	if l.version == 0 {
		return m.decide
	}
	d, _ := Of(int(l.version))
	return d.Decide
}

// migrations adds what an operator may do with a lane's version. One that is refused changes nothing,
// and is a promise broken where the saga is open.
func (m *model) migrations(l lane, add func(what string, to lane, stock int, repeat, wish bool, broken string)) {
	if l.version == 0 || int(l.migrated) == m.migrates {
		return
	}
	before := m.sagas.states[l.saga]
	for _, to := range definitions {
		if to.Version == int(l.version) {
			continue
		}
		what := fmt.Sprintf("an operator takes it from version %d to %d", l.version, to.Version)
		after, err := m.migrate(before, int(l.version), to.Version)
		if err != nil {
			if !before.Step.Terminal() {
				add(what, l, 0, false, true, openMigrates)
			}
			continue
		}
		moved := l
		moved.saga, moved.version, moved.migrated = m.sagas.numberOf(after), uint8(to.Version), l.migrated+1
		add(what, moved, 0, false, true, brokenByMigration(before, after, to))
	}
}

// brokenByMigration names the promise that a migration broke: it keeps all that an order, its
// customer and its participants know of, and leaves a state that the new version could have come to.
func brokenByMigration(before, after State, to Definition) string {
	switch {
	case before.Step.Terminal():
		return endAbsorbs
	case after.Waited >= to.InventoryWaits:
		return migratedFits
	}
	after.Waited = before.Waited
	if !sameState(before, after) {
		return migratedKeeps
	}
	return noPromise
}

// The promises of a migration.
const (
	openMigrates  = "a saga that is open can be migrated"
	migratedFits  = "a migrated state is one that its new version could have come to"
	migratedKeeps = "a migration changes nothing that anybody else knows of"
)
