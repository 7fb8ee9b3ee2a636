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

// orchestrator moves one saga at a time, by a clock that is not ours.
type orchestrator struct {
	clock   time.Time
	moved   map[string]time.Time
	entries map[string]int
}

func (o *orchestrator) moves(order string, later time.Duration) {
	o.clock = o.clock.Add(later)
	o.moved[order], o.entries[order] = o.clock, o.entries[order]+1
}

func (o *orchestrator) newest(context.Context, Where) (newest time.Time, _ error) {
	for _, at := range o.moved {
		if at.After(newest) {
			newest = at
		}
	}
	return newest, nil
}

func (o *orchestrator) histories(_ context.Context, _ Where, q audit.Query, _ ...string) (*Histories, error) {
	return &Histories{Close: func() error { return nil }, All: func(yield func(replay.History, error) bool) {
		for order, at := range o.moved { // each damaged, which is told once for its entry
			if !at.Before(q.Moved) && !yield(replay.History{Saga: replay.Saga{OrderID: order, Entries: o.entries[order]}}, nil) {
				return
			}
		}
	}}, nil
}

// A saga is replayed when it has moved, whatever the clock of its orchestrator says, and what had moved before
// the first look is not.
func TestTheShadowReplaysASagaEachTimeThatItHasMoved(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	for name, ahead := range map[string]time.Duration{"as ours": 0, "an hour behind": -time.Hour, "an hour ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &orchestrator{now.Add(ahead), map[string]time.Time{}, map[string]int{}}
			o.moves("ord_long_ago", -time.Hour)
			o.moves("ord_before", time.Hour)
			ctx, stop := context.WithCancel(t.Context())
			looks := 0
			steps := []func(){ // behind each look
				func() {},
				func() { o.moves("ord_1", 10*time.Second); o.moves("ord_late", 5*time.Minute) },
				func() { o.moves("ord_1", 5*time.Minute) },
				func() { o.moves("ord_long_ago", time.Second) },
				stop,
			}
			p := newProgram(Deps{Stdout: io.Discard, Stderr: io.Discard, Now: func() time.Time { return now }})
			p.Newest = o.newest
			p.Histories = func(ctx context.Context, w Where, q audit.Query, ids ...string) (*Histories, error) {
				h, err := o.histories(ctx, w, q, ids...)
				h.Close = func() error { looks++; steps[looks-1](); return nil }
				return h, err
			}
			s := &shadow{program: p, seen: map[string]int{}, diverged: map[string]int{}, options: replay.Options{Parallel: 1}}
			told := map[string]int{}
			err := s.follow(ctx, 0, time.Millisecond)
			for order, at := range s.diverged {
				told[order] = at
			}
			if err == nil || s.sum.Sagas == 0 {
				t.Errorf("%v %+v", err, s.sum)
			}
			if _, stale := told["ord_before"]; stale || len(told) != 3 {
				t.Errorf("looked at were %v", told)
			}
		})
	}
}

// An order that nobody has begun is no beginning either.
func TestTheShadowOfAnEmptyDatabaseBeginsWithItsFirstSaga(t *testing.T) {
	t.Parallel()
	o := &orchestrator{time.Date(2020, 1, 2, 15, 0, 0, 0, time.UTC), map[string]time.Time{}, map[string]int{}}
	ctx, stop := context.WithCancel(t.Context())
	looks := 0
	p := newProgram(Deps{Stdout: io.Discard, Stderr: io.Discard})
	p.Newest = o.newest
	p.Histories = func(ctx context.Context, w Where, q audit.Query, ids ...string) (*Histories, error) {
		h, err := o.histories(ctx, w, q, ids...)
		h.Close = func() error {
			if looks++; looks == 1 {
				o.moves("ord_1", time.Second)
			} else {
				stop()
			}
			return nil
		}
		return h, err
	}
	s := &shadow{program: p, seen: map[string]int{}, diverged: map[string]int{}}
	if err := s.follow(ctx, 0, time.Millisecond); err == nil || s.sum.Sagas != 1 {
		t.Errorf("%v %+v", err, s.sum)
	}
}
