package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/domain/fault"
)

// feed is the subscriber that the forwarder sees. It hands rows out without waiting for earlier
// ones to be acknowledged, as long as they belong to different aggregates; the router runs them
// all at once.
type feed struct {
	table    table
	bury     func(context.Context, *delivery, string) error
	observer Observer
	clock    func() time.Time
	log      *slog.Logger
	window   int // messages in flight
	poll     time.Duration
	grace    time.Duration

	wake    chan struct{} // something was committed; capacity 1, so many become one
	leads   chan bool     // whether this process has the relay of its database
	leading bool          // at the start

	mu     sync.Mutex
	stop   context.CancelFunc // nil until subscribed
	ended  chan struct{}
	closed bool
}

var _ message.Subscriber = (*feed)(nil)

var errOneSubscription = fault.New(fault.Internal, "outbox_subscribed_twice", "a relay is run once")

// Subscribe starts handing rows out, once, until ctx ends; the topic has no meaning. The channel is
// closed when what is in flight at that time is settled, or the grace time is over.
func (f *feed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.stop != nil {
		return nil, errOneSubscription
	}
	open, stop := context.WithCancel(ctx)
	f.stop = stop
	out := make(chan *message.Message)
	go func() {
		defer close(f.ended)
		defer close(out)
		defer stop()
		newLoop(open, f, out).work()
	}()
	return out, nil
}

// Close ends the subscription and returns when it has ended.
func (f *feed) Close() error {
	f.mu.Lock()
	f.closed = true
	stop := f.stop
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-f.ended
	}
	return nil
}

// nudge says that there may be rows. It never blocks.
func (f *feed) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// lead says whether rows may be handed out by this process. ctx is the relay's.
func (f *feed) lead(ctx context.Context, leading bool) {
	select {
	case f.leads <- leading:
	case <-f.ended:
	case <-ctx.Done():
	}
}
