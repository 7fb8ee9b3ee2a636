// Package notification is the notification service: it tells the customer how an order ended,
// once. The customer's address is looked up when the mail is sent and is in no message.
// No SQL, Kafka or SMTP may be in this package.
package notification

import (
	"context"
	"time"

	"millrace/domain/intent"
)

// Work is one transaction of the notification service. Do commits when fn returns nil and
// otherwise leaves no trace. For one message id in ctx, fn takes effect at most once; it may be
// run more than once, so it does nothing outside tx.
type Work interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Tx is what a transaction can stage.
type Tx interface {
	// Keep stages a notice to be stored. One that is there already is left as it is.
	Keep(n Notice)
	// Sent stages that the order's notice was handed to the mail server.
	Sent(orderID string)
	// Intend stages an act for the worker. An act that was intended before is left as it is.
	Intend(in intent.Intent)
	// Settle stages the end of an intent. The transaction fails with a Conflict when somebody
	// else has claimed the intent since.
	Settle(in intent.Intent)
}

// Notices reads outside of any transaction, for the worker.
type Notices interface {
	// Notice fails with fault.NotFound for an order that has none.
	Notice(ctx context.Context, orderID string) (Notice, error)
	// Address gives a customer's e-mail address, or "" when none is known.
	Address(ctx context.Context, userID string) (string, error)
}

// Notice is what a customer is told about the end of one order.
type Notice struct {
	OrderID  string
	UserID   string
	Status   string // CONFIRMED, FAILED or CANCELLED
	Total    int64  // minor units
	Currency string
	Reason   string // a stable code, "" when confirmed
	At       time.Time
}

// Mail is one letter, ready to go.
type Mail struct {
	MessageID string // without brackets; the same for every try of one letter
	OrderID   string
	To        string
	Subject   string
	Text      string
	HTML      string
	At        time.Time
}

// Mailer hands a letter to a mail server. A fault of kind Unavailable means: try again.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}
