package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/domain/fault"
)

// Pace is how fast a plan is carried out, and when it is given up. The zero value is as fast as it
// goes, to the end.
type Pace struct {
	Canary    int     // so many items first; the rest only when every one of them is VERIFIED
	PerSecond float64 // items begun in a second; 0 for any number
	StopAt    float64 // share of the plan's items, above 0 to 1, that may fail before no more are begun; 0 for all. It bounds how many are open, see May
}

// mostOpen is how many items are begun and not heard of at once where errors are to stop the run.
const mostOpen = 20

// ErrPace: a rate or a share that cannot be read.
var ErrPace = fault.New(fault.Invalid, "bad_pace", "the pace cannot be read")

// ParseRate reads items a second, such as 20/s; "" is any number.
func ParseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err != nil || !(rate > 0) {
		return 0, ErrPace.Because(fmt.Errorf("%q is no rate such as 20/s", text))
	}
	return rate, nil
}

// ParseShare reads a share such as 2%; "" is all.
func ParseShare(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	percent, found := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(percent, 64)
	if err != nil || !found || !(share > 0 && share <= 100) {
		return 0, ErrPace.Because(fmt.Errorf("%q is no share such as 2%%", text))
	}
	return share / 100, nil
}

// Gait keeps the pace of one run.
type Gait struct {
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

// NewGait begins a run over so many items.
func NewGait(p Pace, items int, now func() time.Time) *Gait {
	return &Gait{pace: p, items: items, now: now, started: now()}
}

// Stopped says why no more items are to be begun; "" while they are.
func (g *Gait) Stopped() string {
	switch {
	case g.failed > 0 && g.pace.Canary > 0 && g.ended-g.failed < g.pace.Canary:
		return "the canary did not go well"
	case g.pace.StopAt > 0 && float64(g.failed) > g.pace.StopAt*float64(g.items):
		return fmt.Sprintf("stopped: %d of %d have failed", g.failed, g.items)
	}
	return ""
}

// May says whether another item may be begun now. Errors can stop only what has not begun, so where they
// are to, no more items are open than would stop the run if all of them failed, and never more than mostOpen:
// whatever happens, one more fails than the share allows at most.
func (g *Gait) May() bool {
	if g.Stopped() != "" {
		return false
	}
	if g.pace.Canary > 0 && g.begun >= g.pace.Canary && g.ended < g.pace.Canary {
		return false
	}
	if g.pace.StopAt > 0 && g.open >= min(mostOpen, int(g.pace.StopAt*float64(g.items))+1-g.failed) {
		return false
	}
	return g.pace.PerSecond == 0 || float64(g.fresh) < 1+g.pace.PerSecond*g.now().Sub(g.started).Seconds()
}

// Begun counts an item that was begun, by this run or by an earlier one of the same plan.
func (g *Gait) Begun(earlier bool) {
	g.begun++
	g.open++
	if !earlier {
		g.fresh++
	}
}

// Ended counts what became of an item that was begun. One that was taken away from it (Skipped) is
// neither done nor failed, and another takes its place, among the canary too.
func (g *Gait) Ended(outcome string) {
	g.open--
	switch outcome {
	case Verified:
		g.ended++
	case FailedAgain, TimedOut:
		g.ended++
		g.failed++
	case Skipped:
		g.begun--
	}
}
