package worker

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"millrace/domain/intent"
)

// Store is where open intents are claimed. A claim is a lease: for as long as it holds, no other
// process gets the intent; a holder that dies loses it by time.
type Store interface {
	// Claim leases up to n due intents, the longest due first, of every kind. Their Version and
	// Attempts have been moved by one.
	Claim(ctx context.Context, n int) ([]intent.Intent, error)
	// RenewLease makes sure, before an act, that nobody else gets the intent for that long, and that what comes of the act can
	// be written. It asks the database only where one of these is in doubt. It fails with fault.Conflict when somebody
	// else has claimed or settled the intent, and with fault.Unavailable when the database is away or takes no writes.
	RenewLease(ctx context.Context, in intent.Intent, atLeast time.Duration) error
	// Postpone makes an intent due again after a while. It does nothing when its Version has moved.
	Postpone(ctx context.Context, in intent.Intent, after time.Duration, cause error) error
	// Bury ends an intent that can never be carried out, and makes it a dead letter: an operator has to
	// look. It does nothing when its Version has moved.
	Bury(ctx context.Context, in intent.Intent, cause error) error
	// Committed gives the intents that a commit of this process has just written, leased to it
	// (Version 1, Attempts 1). A sender never waits: what does not fit is left to Claim.
	Committed() <-chan []intent.Intent
}

// Handler does one act and settles its intent in a transaction of its own. It is idempotent by
// the intent's ID. The kind of its error says what becomes of the intent: see Intents.
type Handler func(ctx context.Context, in intent.Intent) error

// Observer hears of every attempt, with its outcome: done, conflict, postponed or buried.
type Observer interface {
	IntentAttempted(kind, outcome string, took time.Duration)
}

// IntentOptions are the bounds of Intents. Zero values stand for the defaults.
type IntentOptions struct {
	Concurrency int           // acts of one kind under way at once; 64
	Queue       int           // intents of one kind that wait in memory, 300 bytes each; 65,536
	Sweep       time.Duration // between two looks for intents that nobody handed over; 1 s
	Deadline    time.Duration // for one act, and for one call to the store; 15 s, and below the lease
	Grace       time.Duration // how long the end of Run waits for acts in hand; 5 s
	Logger      *slog.Logger
	Observer    Observer
	Tracer      trace.TracerProvider // the global one when nil
}

// Intents is the loop that carries out intents.
//
// It is woken by commits and sweeps at its start and every Sweep. Kinds are bulkheads: each has its
// own slots and its own queue, so a slow kind holds up no other, and a slow act holds up nothing
// but its slot. An intent is never carried out twice at once in this process.
//
// What becomes of an attempt:
//
//	nil                    done: the handler has settled the intent
//	fault.Conflict         dropped: somebody else settled or claimed it, or the next claim will tell
//	fault.Invalid, NotFound  buried: it stays wrong however often it is tried
//	anything else, a panic   postponed by intent.Backoff, with jitter
type Intents struct {
	store    Store
	handlers map[intent.Kind]Handler
	opts     IntentOptions
	tracer   trace.Tracer
	sweeps   *outage
	alarm    *alarm

	mu      sync.Mutex
	lanes   map[intent.Kind]*lane
	known   map[string]*ticket // by intent id: what waits or runs here
	closed  bool
	running sync.WaitGroup
}

// NewIntents makes the loop; handlers says which kinds it carries out.
func NewIntents(store Store, handlers map[intent.Kind]Handler, opts IntentOptions) *Intents {
	opts.Concurrency = cmp.Or(opts.Concurrency, 64)
	opts.Queue = cmp.Or(opts.Queue, 1<<16)
	opts.Sweep = cmp.Or(opts.Sweep, time.Second)
	opts.Deadline = cmp.Or(opts.Deadline, 15*time.Second)
	opts.Grace = cmp.Or(opts.Grace, 5*time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Tracer == nil {
		opts.Tracer = otel.GetTracerProvider()
	}
	n := &Intents{
		store: store, handlers: handlers, opts: opts,
		tracer: opts.Tracer.Tracer("millrace/ports/worker"),
		sweeps: &outage{logger: opts.Logger, what: "looking for due intents"},
		alarm:  newAlarm(),
		lanes:  make(map[intent.Kind]*lane, len(handlers)),
		known:  make(map[string]*ticket),
	}
	for kind := range handlers {
		n.lanes[kind] = &lane{}
	}
	return n
}

// Run carries out intents until ctx ends. Then it begins nothing new, gives back what only waited,
// and waits for the acts in hand, for Grace at most; those left are cancelled. It returns nil, and
// is called once.
func (n *Intents) Run(ctx context.Context) error {
	acts, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)

	var loops sync.WaitGroup
	loops.Go(func() { n.listen(ctx, acts) })
	loops.Go(func() { n.sweepAll(ctx, acts) })
	<-ctx.Done()

	waiting := n.close()
	done := make(chan struct{})
	go func() {
		loops.Wait()
		n.giveBack(acts, waiting)
		n.running.Wait()
		close(done)
	}()
	if !waitFor(done, n.opts.Grace) {
		cancel(errGrace)
		if !waitFor(done, time.Second) {
			n.opts.Logger.WarnContext(ctx, "acts that do not end are left to their leases")
		}
	}
	return nil
}

// listen takes what commits hand over. It does nothing slow, so that senders find room.
func (n *Intents) listen(ctx, acts context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case batch, open := <-n.store.Committed():
			if !open {
				return
			}
			for _, in := range batch {
				n.accept(acts, in) // one that finds no room is swept up when its lease is over
			}
		}
	}
}

// sweepAll looks for due intents at once, then every Sweep and whenever a postponed one is due.
func (n *Intents) sweepAll(ctx, acts context.Context) {
	ticker := time.NewTicker(n.opts.Sweep)
	defer ticker.Stop()
	for {
		err := n.sweep(ctx, acts)
		if ctx.Err() != nil {
			return
		}
		n.sweeps.report(ctx, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-n.alarm.rings:
		}
	}
}

const (
	largestClaim  = 256
	smallestClaim = 16 // with less room than this a kind counts as full
)

// sweep claims until nothing is due, as much at once as there is room for. When a kind is full,
// what it cannot take is claimed all the same: its lease keeps it out of the way of other kinds,
// and it is found again when that is over.
func (n *Intents) sweep(ctx, acts context.Context) error {
	for ctx.Err() == nil {
		want := min(n.room(), largestClaim)
		if want < smallestClaim {
			want = largestClaim
		}
		claimed, err := n.claim(ctx, want)
		if err != nil {
			return err
		}
		for _, in := range claimed {
			if !n.accept(acts, in) && ctx.Err() != nil {
				n.postpone(ctx, in, 0, errGrace)
			}
		}
		if len(claimed) < want {
			return nil
		}
	}
	return nil
}

func (n *Intents) claim(ctx context.Context, want int) ([]intent.Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, n.opts.Deadline)
	defer cancel()
	return n.store.Claim(ctx, want)
}

// giveBack makes what only waited due at once, so that another process need not wait for its lease.
func (n *Intents) giveBack(ctx context.Context, waiting []intent.Intent) {
	for _, in := range waiting {
		if ctx.Err() != nil {
			return
		}
		n.postpone(ctx, in, 0, errGrace)
	}
}

func (n *Intents) postpone(ctx context.Context, in intent.Intent, after time.Duration, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.opts.Deadline)
	defer cancel()
	if err := n.store.Postpone(ctx, in, after, cause); err != nil {
		// The lease runs out by itself, and a sweep finds the intent then.
		n.opts.Logger.WarnContext(ctx, "an intent could not be postponed", "intent", in.ID, "error", err)
		return
	}
	n.alarm.setIn(after)
}
