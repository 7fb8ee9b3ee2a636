// Package payment is the payment service: it charges orders, and gives the money back when the
// saga asks for it. It talks to the provider only from a worker, never inside a transaction.
// No SQL, Kafka or HTTP may be in this package.
package payment

import (
	"context"

	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// Work is one transaction of the payment service. Do commits when fn returns nil and otherwise
// leaves no trace. For one message id in ctx, fn takes effect at most once; it may be run more
// than once, so it does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can see and stage.
type Tx interface {
	// Payments gives the payments of those orders that have one, each locked until the end.
	Payments(ctx context.Context, orderIDs ...string) (map[string]*payment.Payment, error)
	// Keep stages a payment to be stored.
	Keep(p *payment.Payment)
	// Intend stages an act for the worker. An act that was intended before is left as it is.
	Intend(in intent.Intent)
	// Settle stages the end of an intent. The transaction fails with a Conflict when somebody
	// else has claimed the intent since.
	Settle(in intent.Intent)
	// Close stages the end of an intent that has nothing left to do, whoever has claimed it. One that has
	// ended, or was ever refused for good, is left as it is.
	Close(id string)
	// Publish stages a message for the outbox.
	Publish(m messages.Message) error
}

// Payments reads payments outside of any transaction, for the worker.
type Payments interface {
	// Payment fails with fault.NotFound for an order that has none.
	Payment(ctx context.Context, orderID string) (*payment.Payment, error)
}

// Provider charges and repays cards. Every call is idempotent by its key. An error of kind
// Unavailable leaves the outcome unknown: Find asks for it, with the same key.
type Provider interface {
	// Name is shown in events, such as "simulator".
	Name() string
	// Capture charges the card, or gives the fate of the earlier charge with that key.
	Capture(ctx context.Context, c Charge) (Fate, error)
	// Void bars a capture that has not happened. False: it has happened, or is running.
	Void(ctx context.Context, captureKey string) (bool, error)
	// Refund gives a captured amount back, once for each key.
	Refund(ctx context.Context, key, captureKey string, amount money.Amount) error
	// Find asks what became of a capture. FateUnknown: the provider has never seen the key,
	// which is no promise that it will not.
	Find(ctx context.Context, captureKey string) (Fate, error)
}

// Charge is one card to be charged.
type Charge struct {
	Key     string // idempotency key
	OrderID string
	Amount  money.Amount
	Method  string
}

// Fate is what the provider knows of a capture.
type Fate struct {
	State    FateState
	ID       string // the provider's id of it
	AuthCode string
	Reason   string // why it was declined
}

// FateState is the kind of a fate. The set is closed.
type FateState struct{ name string }

// The fates of a capture.
var (
	FateUnknown  = FateState{"unknown"}
	FatePending  = FateState{"pending"}
	FateCaptured = FateState{"captured"}
	FateDeclined = FateState{"declined"}
	FateVoided   = FateState{"voided"}
)

// String gives the state's name, for logs.
func (s FateState) String() string { return s.name }

// Observer hears of refused payments, after they are committed.
type Observer interface {
	PaymentFailed(reason string)
}
