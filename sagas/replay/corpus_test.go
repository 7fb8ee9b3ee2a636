package replay_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

const corpus = "../testdata/corpus"

// The histories that real runs have left are decided as they were. A change of Decide that makes
// this fail changes what happens to orders that are under way: give it a version of its own.
func TestTodaysCodeDecidesTheCorpusAsItWasDecided(t *testing.T) {
	t.Parallel()
	sum, err := replay.CheckCorpus(os.DirFS(corpus), replay.Options{}, func(bundle string, r replay.Result) error {
		for _, d := range r.Divergences {
			t.Errorf("%s: %s %s: %s", bundle, r.OrderID, r.Verdict, d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum.OK != sum.Sagas || sum.Sagas < len(saga.Table) {
		t.Errorf("%+v", sum)
	}
	t.Logf("%d sagas with %d entries show %d things", sum.Sagas, sum.Entries, len(replay.Wanted()))
}

func loaded(t *testing.T) fstest.MapFS {
	t.Helper()
	files, err := os.ReadDir(corpus)
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{}
	for _, f := range files {
		text, err := os.ReadFile(corpus + "/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		dir[f.Name()] = &fstest.MapFile{Data: text}
	}
	return dir
}

func TestAnEmptyOrThinnedCorpusFails(t *testing.T) {
	t.Parallel()
	ignored := func(string, replay.Result) error { return nil }
	listAgain := func(dir fstest.MapFS) {
		sums, err := replay.SumsOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		dir[replay.CorpusSums] = &fstest.MapFile{Data: sums}
	}
	runs := []string{"chaos-embedded-18", "chaos-embedded-19"} // one of each version
	without := func(gone ...string) func(fstest.MapFS) {
		return func(dir fstest.MapFS) {
			for _, name := range append(gone, runs...) {
				if dir[name+".ndjson"] == nil {
					t.Errorf("there is no %s", name)
				}
				delete(dir, name+".ndjson")
			}
			listAgain(dir)
		}
	}
	for name, c := range map[string]struct {
		thin func(dir fstest.MapFS)
		says string
	}{
		"no folder":    {func(dir fstest.MapFS) { clear(dir) }, "cannot be read"},
		"empty":        {func(dir fstest.MapFS) { clear(dir); listAgain(dir) }, "it is empty"},
		"one is gone":  {func(dir fstest.MapFS) { delete(dir, "declined.ndjson") }, "declined.ndjson is gone"},
		"altered":      {func(dir fstest.MapFS) { dir["declined.ndjson"] = dir["confirmed.ndjson"] }, "declined.ndjson was altered"},
		"not listed":   {func(dir fstest.MapFS) { dir["more.ndjson"] = dir["declined.ndjson"] }, "more.ndjson is not listed"},
		"an edge less": {without("declined", "paymentaftertheend"), "no history in it shows: version 1: edge awaiting_payment PaymentFailed failed"},
		"a version less": {func(dir fstest.MapFS) {
			maps.DeleteFunc(dir, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "v2") })
			without()(dir)
		}, "no history in it shows: version 2: "},
		"a class less":  {without("attemptsthatfailed", "v2attemptsthatfailed"), "no history in it shows: an attempt that failed"},
		"a reason less": {without("inventorytimeout"), "version 1: end for inventory_timeout"},
		"the acts less": {func(dir fstest.MapFS) { delete(dir, "operator-embedded.ndjson"); listAgain(dir) },
			"no history in it shows: an act: OperatorRedrive; an act: OperatorResume; an act: OperatorMigrate; an act: OperatorFireTimer; an act: OperatorSkipStep; an act: OperatorRetryStep; an act: OperatorCompensate"},
		"no real run": {without(), "no history of a real run shows: version 1: edge new OrderCreated awaiting_payment;"},
	} {
		dir := loaded(t)
		c.thin(dir)
		if _, err := replay.CheckCorpus(dir, replay.Options{}, ignored); !errors.Is(err, replay.ErrCorpus) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cut := loaded(t)
	cut["declined.ndjson"] = &fstest.MapFile{Data: cut["declined.ndjson"].Data[:400]}
	listAgain(cut)
	if _, err := replay.CheckCorpus(cut, replay.Options{}, ignored); !errors.Is(err, replay.ErrBundle) {
		t.Errorf("cut: %v", err)
	}
}

func TestEveryEdgeOfTheTableAndEveryActIsWanted(t *testing.T) {
	t.Parallel()
	for _, act := range saga.Acts {
		if !slices.Contains(replay.Wanted(), "an act: "+saga.Operated{Act: act}.Name()) {
			t.Errorf("a corpus may be without %s", act)
		}
	}
	var wanted, edges int
	for _, one := range replay.Wanted() {
		if strings.Contains(one, ": edge ") {
			wanted++
		}
	}
	for _, version := range saga.Versions() {
		def, _ := saga.Of(version)
		edges += len(def.Table())
	}
	if wanted != edges || edges <= len(saga.Table) {
		t.Errorf("%d edges are wanted, the tables of all versions have %d", wanted, edges)
	}
	if got := new(replay.Coverage).Missing(); len(got) != len(replay.Wanted()) {
		t.Errorf("no history shows %d things", len(replay.Wanted())-len(got))
	}
}

// A mutant of each edge is seen by the corpus alone.
func TestTheCorpusSeesAnyEdgeChanged(t *testing.T) {
	t.Parallel()
	for _, e := range saga.Table {
		mutant := with(func(in saga.Input, d *saga.Decision) {
			if in.Message.Name() == e.On && d.State.Step == e.To && d.Verdict == saga.Applied {
				d.Send, d.State.Step = nil, saga.New
			}
		})
		sum, err := replay.CheckCorpus(os.DirFS(corpus), mutant, func(string, replay.Result) error { return nil })
		if err != nil || sum.Diverged == 0 {
			t.Errorf("%s on %s: %+v %v", e.From, e.On, sum, err)
		}
	}
}
