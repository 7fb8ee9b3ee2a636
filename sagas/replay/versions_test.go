package replay_test

import (
	"encoding/json"
	"testing"
	"time"

	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// late is a saga that waits for inventory longer than once, and ends as its version says.
func late(t *testing.T, version int) replay.History {
	t.Helper()
	r := newRig(t).began(version).hear(created, paid).fire(saga.InventoryTimer, 2).hear(reserved)
	if version == 1 {
		r.hear(released, refunded)
	}
	return r.history()
}

func TestTwoVersionsRunSideBySideAndEachIsDecidedByItsOwn(t *testing.T) {
	t.Parallel()
	for version, end := range map[int]string{1: "failed", 2: "confirmed"} {
		h := late(t, version)
		var state saga.State
		if err := json.Unmarshal(h.Saga.State, &state); err != nil {
			t.Fatal(err)
		}
		if h.Saga.Definition != version || state.Step.String() != end {
			t.Errorf("version %d: it ends %s as one of version %d, want %s", version, state.Step, h.Saga.Definition, end)
		}
		for _, e := range h.Entries {
			if e.Definition != version {
				t.Errorf("version %d: entry %d was decided by %d", version, e.Seq, e.Definition)
			}
		}
		got := replay.Replay(h, replay.Options{})
		if got.Verdict != replay.OK || got.Definition != version {
			t.Errorf("version %d: %+v", version, got)
		}
	}
}

// An old history under a new build is as it was. What the newest version would have decided instead
// is a question that has to be asked.
func TestTheDefinitionThatDecidesIsTheSagasUnlessAnotherIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version, def int
		verdict      replay.Verdict
		decides      int
	}{
		"an old saga by its own":        {1, replay.Recorded, replay.OK, 1},
		"an old saga by its number":     {1, 1, replay.OK, 1},
		"an old saga by the newest":     {1, replay.Current, replay.Diverged, 2},
		"a new saga by the newest":      {2, replay.Current, replay.OK, 2},
		"a new saga by its own":         {2, replay.Recorded, replay.OK, 2},
		"a new saga by the old one":     {2, 1, replay.Diverged, 1},
		"an old saga by one to come":    {1, saga.Version + 1, replay.Unreplayable, saga.Version + 1},
		"a new saga by one before both": {2, -7, replay.Unreplayable, -7},
	} {
		got := replay.Replay(late(t, c.version), replay.Options{Definition: c.def})
		if got.Verdict != c.verdict || got.Definition != c.decides {
			t.Errorf("%s: %s by %d, %+v", name, got.Verdict, got.Definition, got.Divergences)
		}
		if first, _ := got.First(); c.verdict == replay.Diverged && (first.Seq != 3 || first.On != "InventoryTimedOut") {
			t.Errorf("%s: they part at %s", name, first)
		}
	}
}

// A build from which a version was taken out replays the sagas of all others, and says of those of
// that one that it cannot.
func TestABuildWithoutAVersionReplaysAllOthers(t *testing.T) {
	t.Parallel()
	without := replay.Options{Definitions: replay.Definitions()}
	delete(without.Definitions, 1)
	var sum replay.Summary
	for _, version := range saga.Versions() {
		got := replay.Replay(late(t, version), without)
		sum.Add(got)
		if first, _ := got.First(); version == 1 && first.Class != replay.NoDefinition || version > 1 && got.Verdict != replay.OK {
			t.Errorf("version %d: %+v", version, got)
		}
	}
	if sum.NoDefinition != 1 || sum.OK != len(saga.Versions())-1 {
		t.Errorf("%+v", sum)
	}
}

func TestWhatIfIsDecidedByTheVersionOfTheSaga(t *testing.T) {
	t.Parallel()
	timers := map[string]time.Duration{saga.InventoryTimer: 10 * time.Second}
	for version, want := range map[int]saga.Step{1: saga.UndoingInventory, 2: saga.Confirmed} {
		h := newRig(t).began(version).hear(created, paid, reserved).history()
		p, err := replay.WhatIf(h, replay.Change{At: 2, Advance: 15 * time.Second, Timers: timers}, replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var end saga.State
		if err := json.Unmarshal(p.State, &end); err != nil {
			t.Fatal(err)
		}
		if end.Step != want {
			t.Errorf("version %d goes to %s, want %s", version, end.Step, want)
		}
	}
}
