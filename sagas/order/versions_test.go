package order

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestTheVersionsAreAListThatOnlyGrows(t *testing.T) {
	t.Parallel()
	versions := Versions()
	if !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != len(versions) || versions[0] < 1 {
		t.Errorf("the versions are %v: each once, the oldest first", versions)
	}
	if len(versions) < 2 {
		t.Error("there is one version: nothing shows how two run side by side")
	}
	if newest := versions[len(versions)-1]; newest != Version || Current().Version != Version {
		t.Errorf("new sagas begin with %d (%d), the newest is %d", Version, Current().Version, newest)
	}
	for _, v := range versions {
		if d, ok := Of(v); !ok || d.Version != v || d.InventoryWaits < 1 {
			t.Errorf("version %d is %+v, %t", v, d, ok)
		}
	}
	for _, v := range []int{0, Version + 1, -1} {
		if d, ok := Of(v); ok {
			t.Errorf("version %d is %+v", v, d)
		}
	}
}

// This is the difference between the versions, and all of it.
func TestVersionOneGivesUpAtTheFirstTimeOutAndVersionTwoAtTheSecond(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]string{1: "undoing_inventory undoing_inventory", 2: "awaiting_inventory undoing_inventory"} {
		by, _ := Of(version)
		s := Start()
		for _, in := range []Input{created, paid} {
			s = by.Decide(s, in).State
		}
		first := by.Decide(s, stockLate)
		second := by.Decide(first.State, stockGone)
		if got := fmt.Sprint(first.State.Step, " ", second.State.Step); got != want {
			t.Errorf("version %d goes to %s, want %s", version, got, want)
		}
	}
	one, _ := Of(1)
	for _, s := range everyState(one) {
		for _, in := range everyInput(s) {
			timedOut := s.Step == AwaitingInventory && in.Message.Name() == inventoryTimedOut
			if d1, d2 := one.Decide(s, in), Current().Decide(s, in); !timedOut && !reflect.DeepEqual(d1, d2) {
				t.Errorf("%s in %s: version 1 decides %+v, version 2 %+v", in.Message.Name(), s.Step, d1, d2)
			}
		}
	}
}

func TestAMigratedSagaGoesOnAsItsNewVersionWould(t *testing.T) {
	t.Parallel()
	waitsAgain := after(t, created, paid, stockLate)
	for _, tt := range []struct {
		name     string
		s        State
		from, to int
		in       Input
		next     Step
	}{
		{"to the newer one while it waits: it waits once more", after(t, created, paid), 1, 2, stockLate, AwaitingInventory},
		{"to the older one in its second wait: it gives up after that", waitsAgain, 2, 1, stockGone, UndoingInventory},
		{"to the older one in its first wait: it gives up after that", after(t, created, paid), 2, 1, stockLate, UndoingInventory},
		{"a time-out of the wait before stays stale", waitsAgain, 2, 1, stockLate, AwaitingInventory},
		{"to the version that it has", waitsAgain, 2, 2, stockGone, UndoingInventory},
		{"while it is undone", after(t, created, cancel), 1, 2, released, UndoingPayment},
		{"before it has begun, with what is held", after(t, paid), 1, 2, created, AwaitingInventory},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Migrate(tt.s, tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			by, _ := Of(tt.to)
			if got := by.Decide(s, tt.in).State.Step; got != tt.next {
				t.Errorf("it goes to %s, want %s", got, tt.next)
			}
		})
	}
}

func TestAMigrationThatMeansNothingIsRefused(t *testing.T) {
	t.Parallel()
	ended := after(t, created, declined)
	for name, c := range map[string]struct {
		s        State
		from, to int
		want     error
	}{
		"to a version without code":   {Start(), 1, Version + 1, ErrNoVersion},
		"from a version without code": {Start(), Version + 1, 1, ErrNoVersion},
		"of a saga that has ended":    {ended, 1, 2, ErrNotMigrated},
	} {
		if s, err := Migrate(c.s, c.from, c.to); !errors.Is(err, c.want) || !reflect.DeepEqual(s, State{}) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	s := after(t, paid)
	migrated, err := Migrate(s, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	migrated.Held[0].Name = "another"
	if s.Held[0].Name != paymentSucceeded {
		t.Error("a migration shares memory with the state that it was given")
	}
}

// Whenever sagas are taken from version to version, every promise of the model holds: stock and money
// are conserved, and every order can end.
func TestMigratingAtAnyTimeKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	for _, begins := range Versions() {
		for _, s := range migratedWorlds {
			t.Run(fmt.Sprintf("from version %d, %s", begins, s.name), func(t *testing.T) {
				t.Parallel()
				m := s.model
				m.migrate, m.begins = Migrate, uint8(begins)
				r := m.search()
				if r.broken != noPromise {
					t.Fatalf("broken: %s%s", r.broken, r.story())
				}
				fmt.Printf("model check: migrated from version %d, %s: %s\n", begins, s.name, r)
			})
		}
	}
}

// A migration that comes among an operator's other acts, before one, after one or between two, keeps every
// promise as well.
func TestMigratingAmongOtherActsKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	for _, begins := range Versions() {
		for _, s := range operatedWorlds {
			t.Run(fmt.Sprintf("from version %d, %s", begins, s.name), func(t *testing.T) {
				t.Parallel()
				m := s.model
				m.operate, m.begins = Operate, uint8(begins)
				r := m.search()
				if r.broken != noPromise {
					t.Fatalf("broken: %s%s", r.broken, r.story())
				}
				fmt.Printf("model check: operated and migrated from version %d, %s: %s\n", begins, s.name, r)
			})
		}
	}
}

// A migration that somebody could write in good faith and that loses something is found.
func TestTheSearchCatchesEveryMutantOfMigrate(t *testing.T) {
	t.Parallel()
	for _, mutant := range []struct {
		name    string
		migrate func(s State, from, to int) (State, error)
		caught  string
	}{
		{"it enters the step anew and leaves the timer", func(s State, _, _ int) (State, error) {
			s.Entry++
			return s, nil
		}, migratedKeeps},
		{"it begins again", func(State, int, int) (State, error) { return Start(), nil }, migratedKeeps},
		{"it keeps waits that the version does not know", func(s State, _, _ int) (State, error) {
			if s.Step.Terminal() {
				return State{}, ErrNotMigrated
			}
			return s, nil
		}, migratedFits},
		{"it opens what has ended", func(s State, _, _ int) (State, error) { s.Waited = 0; return s, nil }, endAbsorbs},
		{"it refuses a saga that waits", func(s State, from, to int) (State, error) {
			if s.Step == AwaitingInventory {
				return State{}, ErrNotMigrated
			}
			return Migrate(s, from, to)
		}, openMigrates},
	} {
		found := ""
		for _, s := range migratedWorlds[:1] {
			m := s.model
			m.migrate, m.begins = mutant.migrate, Version
			found = m.search().broken
		}
		if found != mutant.caught {
			t.Errorf("%s: caught by %q, want %q", mutant.name, found, mutant.caught)
		}
	}
}
