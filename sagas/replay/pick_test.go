package replay_test

import (
	"bytes"
	"iter"
	"os"
	"testing"

	"millrace/sagas/replay"
)

func histories(t *testing.T, names ...string) iter.Seq2[replay.History, error] {
	t.Helper()
	return func(yield func(replay.History, error) bool) {
		for _, name := range names {
			text, err := os.ReadFile(corpus + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			bundle, err := replay.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			for h, err := range bundle.Histories() {
				if !yield(h, err) {
					return
				}
			}
		}
	}
}

func TestAsFewHistoriesArePickedAsShowWhatIsNotShownYet(t *testing.T) {
	t.Parallel()
	runs := []string{"chaos-embedded-18.ndjson", "chaos-embedded-19.ndjson", "operator-embedded.ndjson"}
	all, err := replay.Pick(histories(t, runs...), replay.Coverage{})
	if err != nil {
		t.Fatal(err)
	}
	var covered replay.Coverage
	for _, h := range all {
		covered.Add(h)
	}
	if len(covered.Missing()) > 0 || len(all) >= len(replay.Wanted()) {
		t.Errorf("%d histories leave %v", len(all), covered.Missing())
	}
	shown, err := replay.OfRuns(os.DirFS(corpus))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := replay.Pick(histories(t, runs...), shown); err != nil || len(again) != 0 {
		t.Errorf("of what is there %d are picked once more: %v", len(again), err)
	}
	if staged, err := replay.Pick(histories(t, "attemptsthatfailed.ndjson"), replay.Coverage{}); err != nil || len(staged) != 0 {
		t.Errorf("of a staged history %d are picked: %v", len(staged), err)
	}
}
