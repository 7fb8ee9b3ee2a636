package replay

import (
	"hash/fnv"
	"iter"
	"math"
	"sync"
)

// Run replays a stream of histories and hands on the results in the stream's order. It holds no
// more histories than it works on at once, so memory does not grow with their number. It ends
// with the first error of the stream or of report.
func Run(histories iter.Seq2[History, error], o Options, report func(Result) error) (Summary, error) {
	var sum Summary
	window := max(o.Parallel, 1)
	work := make(chan job, window)
	var workers sync.WaitGroup
	for range window {
		workers.Go(func() {
			for j := range work {
				j.done <- Replay(j.history, o)
			}
		})
	}
	defer workers.Wait()
	defer close(work)

	waiting := make([]chan Result, 0, 2*window)
	hand := func() error {
		r := <-waiting[0]
		waiting = append(waiting[:0], waiting[1:]...)
		sum.Add(r)
		return report(r)
	}
	for h, err := range histories {
		if err != nil {
			return sum, err
		}
		if !o.sampled(h.Saga.OrderID) {
			continue
		}
		j := job{h, make(chan Result, 1)}
		work <- j
		if waiting = append(waiting, j.done); len(waiting) == cap(waiting) {
			if err := hand(); err != nil {
				return sum, err
			}
		}
	}
	for len(waiting) > 0 {
		if err := hand(); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

type job struct {
	history History
	done    chan Result // takes one without waiting
}

// sampled chooses by the order's id, so that the same sample is taken again.
func (o Options) sampled(orderID string) bool {
	if o.Sample <= 0 || o.Sample >= 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(orderID)) // a hash takes everything
	return float64(mix(h.Sum64()))/float64(math.MaxUint64) < o.Sample
}

// mix spreads the sum of ids that differ in their last letters over the whole range
// (MurmurHash3's finalizer).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
