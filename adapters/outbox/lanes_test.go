package outbox

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever happens in whatever order: a row is handed out only when every row of its aggregate that
// was known before and is earlier has been settled, never while another of its aggregate is in
// flight, and in the end every row was handed out and nothing is held.
func TestLanesKeepTheOrderOfEveryAggregateAndForgetNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newLanes()
		var (
			seq      int64
			waiting  = map[string]map[int64]bool{}
			flying   = map[string]*row{}
			parked   []parking
			handed   = map[int64]bool{}
			newcomer = func(n int64) {
				r := &row{seq: n, aggregate: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "aggregate"))}
				if waiting[r.aggregate] == nil {
					waiting[r.aggregate] = map[int64]bool{}
				}
				waiting[r.aggregate][n] = true
				s.add(r)
			}
			handOut = func() bool {
				r := s.peek()
				if r == nil {
					return false
				}
				if flying[r.aggregate] != nil {
					t.Fatalf("row %d went while row %d of its aggregate is in flight", r.seq, flying[r.aggregate].seq)
				}
				for other := range waiting[r.aggregate] {
					if other < r.seq && (r.attempts == 0 || !handed[r.seq]) {
						t.Fatalf("row %d went before row %d", r.seq, other)
					}
				}
				s.take()
				handed[r.seq], flying[r.aggregate] = true, r
				return true
			}
			finish = func(r *row) {
				s.done(r)
				s.drop(r.seq)
				delete(flying, r.aggregate)
				delete(waiting[r.aggregate], r.seq)
			}
			anyFlying = func() *row {
				for _, aggregate := range slices.Sorted(maps.Keys(flying)) {
					return flying[aggregate]
				}
				return nil
			}
		)
		t.Repeat(map[string]func(*rapid.T){
			"add":      func(*rapid.T) { seq += 2; newcomer(seq) },
			"hand out": func(*rapid.T) { handOut() },
			"settle": func(*rapid.T) {
				if r := anyFlying(); r != nil {
					finish(r)
				}
			},
			"refuse": func(*rapid.T) {
				if r := anyFlying(); r != nil {
					r.attempts++
					parked = append(parked, s.park(r))
					delete(flying, r.aggregate)
				}
			},
			"wait is over": func(t *rapid.T) {
				if len(parked) > 0 {
					s.release(parked[rapid.IntRange(0, len(parked)-1).Draw(t, "parking")]) // perhaps an old one
				}
			},
			"all waits are over": func(*rapid.T) { s.releaseAll() },
		})
		for range 1 + len(s.held) {
			s.releaseAll()
			for handOut() {
			}
			for _, r := range flying {
				finish(r)
			}
		}
		if len(s.held) != 0 || len(s.lanes) != 0 || int64(len(handed)) != seq/2 {
			t.Fatalf("%d of %d rows went, %d are held in %d lanes", len(handed), seq/2, len(s.held), len(s.lanes))
		}
	})
}

func TestARowThatCommitsLateGoesBeforeThoseThatWait(t *testing.T) {
	t.Parallel()
	s := newLanes()
	for _, seq := range []int64{10, 20, 30} {
		s.add(&row{seq: seq, aggregate: "a"})
	}
	first := s.peek()
	s.take() // 10 is in flight: nothing can go before it any more
	s.add(&row{seq: 15, aggregate: "a"})
	s.add(&row{seq: 5, aggregate: "a"})
	s.done(first)
	for _, want := range []int64{5, 15, 20, 30} {
		r := s.peek()
		if r.seq != want {
			t.Fatalf("row %d goes, want %d", r.seq, want)
		}
		s.take()
		s.done(r)
	}
}

func TestWhatIsForgottenIsNotHandedOutAndWhatIsInFlightIsKept(t *testing.T) {
	t.Parallel()
	s := newLanes()
	for i, aggregate := range []string{"flying", "flying", "parked", "ready"} {
		s.add(&row{seq: int64(i), aggregate: aggregate})
	}
	flying := s.peek()
	s.take()
	refused := s.peek()
	s.take()
	wait := s.park(refused)
	s.forget()
	s.release(wait)
	s.releaseAll()
	if s.peek() != nil || len(s.held) != 1 || s.held[flying.seq] == nil {
		t.Fatalf("next %v, held %v", s.peek(), s.seqs())
	}
	s.add(&row{seq: 9, aggregate: "flying"})
	s.abandon(flying)
	if s.peek() != nil || len(s.held) != 0 || len(s.lanes) != 0 {
		t.Errorf("after the refusal: next %v, held %v", s.peek(), s.seqs())
	}
}
