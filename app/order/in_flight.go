package order

import (
	"context"
	"sync"
	"time"

	"millrace/domain/fault"
)

// ErrInProgress: the first request with the key is still running.
var ErrInProgress = fault.New(fault.Conflict, "idempotency_in_progress", "the first request with this Idempotency-Key is still running: send the same again in a moment")

// firstWait is how long a second request with a key waits for the first, to get its answer.
const firstWait = 2 * time.Second

// InFlight lets one request with a key through at a time. The database does so too, by the key's row, and for all
// processes; but requests of one process are committed together, so that the second would never come to that lock, and
// wait behind the first for as long as its own caller does.
type InFlight struct {
	Placing

	mu      sync.Mutex
	running map[Key]chan struct{} // closed when the request has its answer
}

// NewInFlight stands in front of place.
func NewInFlight(place Placing) *InFlight {
	return &InFlight{Placing: place, running: map[Key]chan struct{}{}}
}

// Handle waits until no other request with the key is running, and places the order. It fails with ErrInProgress after
// two seconds, and has not touched anything then.
func (f *InFlight) Handle(ctx context.Context, r Request) (Answer, error) {
	if r.Key == "" {
		return f.Placing.Handle(ctx, r)
	}
	key := Key{r.UserID, r.Key}
	patience, stop := context.WithTimeoutCause(ctx, firstWait, ErrInProgress)
	defer stop()
	for {
		first := f.claim(key)
		if first == nil {
			defer f.release(key)
			return f.Placing.Handle(ctx, r)
		}
		select {
		case <-first: // it may have failed: then this one is the first
		case <-patience.Done():
			return Answer{}, context.Cause(patience)
		}
	}
}

// claim takes the key, or gives what is closed when whoever has it lets it go.
func (f *InFlight) claim(key Key) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first := f.running[key]; first != nil {
		return first
	}
	f.running[key] = make(chan struct{})
	return nil
}

func (f *InFlight) release(key Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.running[key])
	delete(f.running, key)
}
