// Package deadletters is what an operator does about what the services gave up: messages that a
// handler refused, and acts in the outside world that were refused for good. Look, plan, apply:
// nothing is acted on that was not seen first, and nothing counts as done because it was sent.
// No SQL, Kafka or terminal may be in this package.
package deadletters

import (
	"context"
	"time"

	"millrace/domain/fault"
	"millrace/domain/plan"
)

// The states of a letter.
const (
	Waiting   = "waiting"   // for a person
	Parked    = "parked"    // behind another one of its order; it was never tried
	Redriving = "redriving" // sent again, and its outcome is not known yet
	Done      = "done"      // it took effect after all
	Discarded = "discarded" // a person has decided that it never will
	Settled   = "settled"   // a person has said what became of the act
)

// States are all of them.
var States = []string{Waiting, Parked, Redriving, Done, Discarded, Settled}

// Letter is a dead letter, or a message that is parked behind one, without its bytes.
type Letter struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Version  int    `json:"version"` // moves with every change
	Service  string `json:"service"`
	Consumer string `json:"consumer"` // the consumer group; "intent_refund" and so on for an act
	Handler  string `json:"handler"`
	OrderID  string `json:"orderId"` // "" when the record does not say
	Type     string `json:"type"`
	Reason   string `json:"reason"` // code of the fault
	Redrives int    `json:"redrives"`
	Attempts int    `json:"attempts"`
	Position int    `json:"position"` // in its order's sequence at the consumer
	Parked   int    `json:"parked"`   // messages that wait behind it

	FirstAt time.Time `json:"firstAt"` // first attempt
	LastAt  time.Time `json:"lastAt"`  // last attempt
}

// Whole is everything that is known about a letter.
type Whole struct {
	Letter
	MessageID string            `json:"messageId"`
	Topic     string            `json:"topic"` // where it was read; "" for an act
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       []byte            `json:"key"`     // base64 in JSON
	Payload   []byte            `json:"payload"` // base64 in JSON
	Headers   map[string]string `json:"headers"`
	Error     string            `json:"error"` // the whole chain
	Behind    []Letter          `json:"behind"`
	Log       []Line            `json:"log"`
}

// Line is one thing that was done about a letter.
type Line struct {
	At     time.Time `json:"at"`
	Act    string    `json:"act"`
	Actor  string    `json:"actor"` // "" for the system itself
	Reason string    `json:"reason"`
}

// Filter chooses letters; what is zero chooses all. All of it must hold.
type Filter struct {
	ID      string
	State   string
	Service string
	Handler string
	Reason  string
	OrderID string
	Type    string
	Since   time.Time // last attempt not before
	Until   time.Time // last attempt before
}

// Act is who does something, and why.
type Act = plan.Act

// Progress is where a letter is now.
type Progress struct {
	State    string
	Version  int
	Redrives int
	Reason   string
	Error    string
	// Handled: the inbox, or the act itself, says that it took effect.
	Handled bool
	// Blocked: it is parked, and a waiting letter is in front of it.
	Blocked bool
}

// Store keeps the letters of all services.
type Store interface {
	// List gives letters, those of one order in their sequence.
	List(ctx context.Context, f Filter) ([]Letter, error)
	// Show fails with fault.NotFound.
	Show(ctx context.Context, id string) (Whole, error)
	// AcquireLease acquires the lease of an order for the plan of an act: until it is released, no apply of another
	// plan acts on that order, be it on its saga or on its dead letters at any service. It fails with ErrLeaseHeld
	// while another plan has it; a plan that has it keeps it. It runs out after ten minutes.
	AcquireLease(ctx context.Context, orderID string, by Act) error
	// RenewLeases renews the leases that the plan has, and gives their orders. An apply that is alive calls it at
	// every look, so that only a dead one loses its leases.
	RenewLeases(ctx context.Context, by Act) ([]string, error)
	// ReleaseLease releases the lease of an order. One that the plan does not have is left as it is.
	ReleaseLease(ctx context.Context, orderID string, by Act) error
	// Redrive sends the letter to its handler again, in one transaction with everything that says so.
	// It fails with ErrChanged when the letter is not as planned, and with ErrBehind when another
	// one of its order is in front.
	Redrive(ctx context.Context, item Item, by Act) error
	// Discard ends the letter without effect, and lets what waits behind it go. It fails as Redrive.
	Discard(ctx context.Context, item Item, by Act) error
	// Settle ends the letter of an act with what a person says became of it, and tells the other
	// services. It fails as Redrive, and with fault.Conflict when there is nothing to settle.
	Settle(ctx context.Context, item Item, outcome string, by Act) error
	// Begun gives the letters of a service on which the plan of an act has acted, in this run or in an earlier one.
	Begun(ctx context.Context, service string, by Act) ([]string, error)
	// Note keeps what became of an act behind the act itself. Saying the same again changes nothing.
	Note(ctx context.Context, item Item, action string, by Act, r plan.Result) error
	// Stakes gives what can come of an act on letters, by letter: its own share, and that of what is parked
	// behind it. What two of them would both do counts once, for the first. It changes nothing.
	Stakes(ctx context.Context, action, outcome string, letters []Letter) (map[string]Stakes, error)
	// Outcomes are those that Settle takes for a handler's letters; none for a message.
	Outcomes(handler string) []string
	// Progress gives where letters of a service are now; those that are not there are left out.
	Progress(ctx context.Context, service string, ids []string) (map[string]Progress, error)
	// Behind gives the messages that are parked behind a letter, in their sequence.
	Behind(ctx context.Context, item Item) ([]Letter, error)
}

// Faults of acting on a letter.
var (
	ErrNoLetter  = fault.New(fault.NotFound, "no_such_letter", "there is no dead letter with that id: `millrace dlq list --each` shows those there are")
	ErrChanged   = fault.New(fault.Conflict, "letter_changed", "it has changed since the plan was made")
	ErrLeaseHeld = fault.New(fault.Conflict, "order_in_hand", "another apply has the order in hand")
	ErrBehind    = fault.New(fault.Conflict, "letter_behind", "another dead letter of its order is in front of it")
)

// Group counts letters that are alike.
type Group struct {
	Service string    `json:"service"`
	Handler string    `json:"handler"`
	Reason  string    `json:"reason"`
	State   string    `json:"state"`
	Count   int       `json:"count"`
	Parked  int       `json:"parked"` // messages that wait behind them
	Oldest  time.Time `json:"oldest"` // first attempt
}

// Groups counts letters by service, handler, reason and state, the largest group first.
func Groups(letters []Letter) []Group {
	byKey := map[Group]*Group{}
	groups := []*Group{}
	for _, l := range letters {
		key := Group{Service: l.Service, Handler: l.Handler, Reason: l.Reason, State: l.State}
		g := byKey[key]
		if g == nil {
			g = &Group{Service: l.Service, Handler: l.Handler, Reason: l.Reason, State: l.State, Oldest: l.FirstAt}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.Count++
		g.Parked += l.Parked
		if l.FirstAt.Before(g.Oldest) {
			g.Oldest = l.FirstAt
		}
	}
	return sorted(groups)
}
