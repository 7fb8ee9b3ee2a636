package plan

import (
	"fmt"
	"time"
)

// mostOpen is how many items are begun and not heard of at once where errors are to stop the run.
const mostOpen = 20

// Throttle keeps the pace of one run: it says whether another item may be begun, by what has become of those before.
type Throttle struct {
	pace    Pace
	items   int
	now     func() time.Time
	started time.Time
	fresh   int // begun by this run: those that an earlier one began count for no rate
	begun   int
	open    int // begun and not heard of
	ended   int
	failed  int
}

// NewThrottle begins a run over so many items.
func NewThrottle(p Pace, items int, now func() time.Time) *Throttle {
	return &Throttle{pace: p, items: items, now: now, started: now()}
}

// Stopped says why no more items are to be begun; "" while they are.
func (t *Throttle) Stopped() string {
	switch {
	case t.failed > 0 && t.pace.Canary > 0 && t.ended-t.failed < t.pace.Canary:
		return "the canary did not go well"
	case t.pace.StopAt > 0 && float64(t.failed) > t.pace.StopAt*float64(t.items):
		return fmt.Sprintf("stopped: %d of %d have failed", t.failed, t.items)
	}
	return ""
}

// May says whether another item may be begun now. Errors can stop only what has not begun, so where they
// are to, no more items are open than would stop the run if all of them failed, and never more than mostOpen:
// whatever happens, one more fails than the share allows at most.
func (t *Throttle) May() bool {
	if t.Stopped() != "" {
		return false
	}
	if t.pace.Canary > 0 && t.begun >= t.pace.Canary && t.ended < t.pace.Canary {
		return false
	}
	if t.pace.StopAt > 0 && t.open >= min(mostOpen, int(t.pace.StopAt*float64(t.items))+1-t.failed) {
		return false
	}
	return t.pace.PerSecond == 0 || float64(t.fresh) < 1+t.pace.PerSecond*t.now().Sub(t.started).Seconds()
}

// Begun counts an item that was begun, by this run or by an earlier one of the same plan.
func (t *Throttle) Begun(earlier bool) {
	t.begun++
	t.open++
	if !earlier {
		t.fresh++
	}
}

// Ended counts what became of an item that was begun. One that was taken away from it (Skipped) is
// neither done nor failed, and another takes its place, among the canary too.
func (t *Throttle) Ended(outcome string) {
	t.open--
	switch outcome {
	case Verified:
		t.ended++
	case FailedAgain, TimedOut:
		t.ended++
		t.failed++
	case Skipped:
		t.begun--
	}
}
