package cli

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/app/audit"
	"millrace/sagas/replay"
)

func TestTheShadowServesItsCounters(t *testing.T) {
	t.Parallel()
	p := newProgram(Deps{Stdout: io.Discard, Stderr: io.Discard})
	s := &shadow{program: p, seen: map[string]int{}, diverged: map[string]int{}}
	r := replay.Result{OrderID: "ord_1", Verdict: replay.Diverged, Divergences: []replay.Divergence{{Seq: 2, Class: replay.MissingMessage, Severity: replay.Money}}}
	for range 3 { // it stays diverged while it moves on
		if err := s.tell(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.tell(replay.Result{OrderID: "ord_2", Verdict: replay.OK}); err != nil {
		t.Fatal(err)
	}
	words := &firstLine{got: make(chan string, 1)}
	p.Stderr = words
	end, err := s.serve(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	url := strings.TrimSpace(strings.TrimPrefix(<-words.got, "metrics at "))
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"saga_shadow_replayed_total 2\n", `saga_divergence_total{class="missing_message"} 1` + "\n"} {
		if !strings.Contains(string(body), line) {
			t.Errorf("the metrics have no %q:\n%s", line, body)
		}
	}
}

type firstLine struct{ got chan string }

func (f *firstLine) Write(text []byte) (int, error) {
	f.got <- string(text)
	return len(text), nil
}

// A saga is replayed when it has moved, and looks overlap.
func TestTheShadowReplaysASagaEachTimeThatItHasMoved(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	entries := []int{1, 1, 2, 2, 2}
	var asked []time.Time
	ctx, stop := context.WithCancel(t.Context())
	p := newProgram(Deps{Stdout: io.Discard, Stderr: io.Discard, Now: func() time.Time { return now }})
	p.Histories = func(_ context.Context, _ Where, q audit.Query, _ ...string) (*Histories, error) {
		asked = append(asked, q.Moved)
		n := entries[len(asked)-1]
		if len(asked) == len(entries) {
			stop()
		}
		now = now.Add(40 * time.Second)
		h := replay.History{Saga: replay.Saga{OrderID: "ord_1", Entries: n}} // damaged, which is told once for its entry
		return &Histories{Sagas: 1, All: func(yield func(replay.History, error) bool) { yield(h, nil) }, Close: func() error { return nil }}, nil
	}
	s := &shadow{program: p, seen: map[string]int{}, diverged: map[string]int{}}
	err := s.follow(ctx, 0, time.Millisecond)
	if err == nil || s.sum.Unreplayable != 1 {
		t.Errorf("%v %+v", err, s.sum)
	}
	began := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	for i, want := range []time.Duration{0, 0, 0, 20 * time.Second, 60 * time.Second} {
		if got := asked[i].Sub(began); got != want {
			t.Errorf("look %d asks for what moved since %s, want %s", i, got, want)
		}
	}
}
