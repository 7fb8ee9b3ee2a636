package worker

import (
	"sync"
	"time"
)

// grain is how exactly a postponed intent is met. Alarms within one grain ring once, so that
// thousands of failing intents do not become thousands of sweeps.
const grain = 50 * time.Millisecond

// alarm rings when something postponed is due again.
type alarm struct {
	rings chan struct{}
	start time.Time

	mu  sync.Mutex
	set map[time.Duration]bool // since start, in whole grains
}

func newAlarm() *alarm {
	return &alarm{rings: make(chan struct{}, 1), start: time.Now(), set: make(map[time.Duration]bool)}
}

// setIn makes the alarm ring after a while, up to two grains later.
func (a *alarm) setIn(after time.Duration) {
	at := (time.Since(a.start) + after).Truncate(grain) + 2*grain
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.set[at] {
		return
	}
	a.set[at] = true
	time.AfterFunc(at-time.Since(a.start), func() {
		a.mu.Lock()
		delete(a.set, at)
		a.mu.Unlock()
		select {
		case a.rings <- struct{}{}:
		default: // it rings already
		}
	})
}
