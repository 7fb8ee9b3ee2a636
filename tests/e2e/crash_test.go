package e2e

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load places orders from many callers at once until it is told to stop, and gives the ids of
// those that were accepted. It is paced, so that a system that comes back has not too much to do.
type load struct {
	stop     chan struct{}
	pace     *time.Ticker
	callers  sync.WaitGroup
	accepted atomic.Int64
	mu       sync.Mutex
	ids      []string
}

func startLoad(s *stack, callers int) *load {
	l := &load{stop: make(chan struct{}), pace: time.NewTicker(30 * time.Millisecond)}
	methods := []string{"pm_card_ok", "pm_card_ok", "pm_card_ok", "pm_card_declined", "pm_card_unavailable"}
	skus := []string{"SKU-123", "SKU-001", "SKU-002", "SKU-NONE"}
	for c := range callers {
		l.callers.Go(func() {
			for n := c; ; n++ {
				select {
				case <-l.stop:
					return
				case <-l.pace.C:
				}
				if id, _, _ := s.try(wish{method: methods[n%len(methods)], sku: skus[n%len(skus)]}); id != "" {
					l.accepted.Add(1)
					l.mu.Lock()
					l.ids = append(l.ids, id)
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

func (l *load) end() []string {
	close(l.stop)
	l.pace.Stop()
	l.callers.Wait()
	return l.ids
}

// killedUnderLoad ends every process in the middle of a load, twice as a crash and once in order,
// and starts them again while callers go on. Every order that was answered 202 must end.
func killedUnderLoad(t *testing.T, s *stack) {
	l := startLoad(s, 8)
	for n, end := range []func(){s.kill, s.kill, func() { s.terminate(t) }} {
		seen := l.accepted.Load()
		await(t, time.Minute, "the load runs", func() bool { return l.accepted.Load() >= seen+100 })
		end()
		t.Logf("end %d after %d accepted orders", n+1, l.accepted.Load())
		s.start(t)
	}
	ids := l.end()
	s.allEnd(t, ids)
	t.Logf("%d accepted orders", len(ids))
}

// allEnd waits until every accepted order has ended.
func (s *stack) allEnd(t *testing.T, ids []string) {
	t.Helper()
	left := ids
	t.Cleanup(func() {
		for _, id := range left[:min(3, len(left))] {
			t.Logf("%s was accepted and has not ended", id)
		}
	})
	await(t, 2*time.Minute, "every accepted order has ended", func() bool {
		for len(left) > 0 && s.show(t, left[0]).ended() {
			left = left[1:]
		}
		return len(left) == 0
	})
}
