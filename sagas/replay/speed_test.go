package replay_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"millrace/sagas/replay"
)

// BenchmarkReplay says how many histories a core replays strictly, those of the corpus in turn.
func BenchmarkReplay(b *testing.B) {
	files, err := filepath.Glob(corpus + "/*.ndjson")
	if err != nil || len(files) == 0 {
		b.Fatal(files, err)
	}
	var all []replay.History
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		bundle, err := replay.NewReader(bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		for h, err := range bundle.Histories() {
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, h)
		}
	}
	n := 0
	for b.Loop() {
		if r := replay.Replay(all[n%len(all)], replay.Options{}); r.Verdict != replay.OK {
			b.Fatal(r)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "sagas/s")
}
