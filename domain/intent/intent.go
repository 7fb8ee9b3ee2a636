// Package intent is a promise, kept in the database, to do one thing in the outside world: to
// charge a card, to send a mail. The transaction that decides writes the intent; a worker does
// the act later with the intent's key, which the other side recognises when it comes twice; a
// second transaction writes what came of it.
package intent

import "time"

// Kind says what is to be done. The set is closed.
type Kind struct{ name string }

// The kinds of intent.
var (
	Capture = Kind{"capture"} // charge the card, or find out what became of the charge
	Void    = Kind{"void"}    // bar a charge that has not happened
	Refund  = Kind{"refund"}  // give the money back
	Mail    = Kind{"mail"}    // tell the customer
)

// String gives the name that is stored.
func (k Kind) String() string { return k.name }

// RestoreKind gives a stored name back its type.
func RestoreKind(name string) Kind { return Kind{name} }

// Intent is one act to be done.
type Intent struct {
	ID      string // also the key that makes the act idempotent: "<orderId>:<kind>"
	OrderID string
	Kind    Kind

	Cause       string // eventId of the message that led here
	TraceParent string // W3C trace context of that message

	Version  int // moves with every claim and attempt; whoever settles must hold the latest
	Attempts int // how often it was tried
	Buried   int // how often it was refused for good, and became a dead letter

	Until time.Time // the end of the lease, by the clock of whoever holds it
}

// New makes the intent of an order for one kind of act; an order has at most one of each kind.
func New(orderID string, kind Kind) Intent {
	return Intent{ID: Key(orderID, kind), OrderID: orderID, Kind: kind}
}

// Key is the deterministic key of an act.
func Key(orderID string, kind Kind) string { return orderID + ":" + kind.name }

// Backoff is how long to wait after the n-th attempt (from 1): it doubles from 200 ms to 10 s.
func Backoff(attempts int) time.Duration {
	const first, most = 200 * time.Millisecond, 10 * time.Second
	wait := first
	for i := 1; i < attempts && wait < most; i++ {
		wait *= 2
	}
	return min(wait, most)
}
