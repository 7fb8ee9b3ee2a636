// Package sqlstore is the services' state in SQL: PostgreSQL in production, SQLite embedded, the
// same code for both. A handler's transaction is a unit: it stages what it writes, and the unit
// flushes all of it, inbox and outbox rows included, in as few statements as it can. Nothing
// here decides anything about orders, and nothing here talks to Kafka.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/failpoint"
	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
)

// Observer hears what the units of work do.
type Observer interface {
	Duplicate(handler string) // a message that had been handled before
	CommitBatch(n int)        // n members were committed together
}

// Marks is a cache of handled messages in front of the inbox. It may forget and may be away.
type Marks interface {
	Seen(ctx context.Context, consumer, messageID string) bool
	Mark(ctx context.Context, consumer, messageID string)
}

// Config is what every store needs.
type Config struct {
	DB       *sqldb.DB
	Service  string // the producer in headers
	Outbox   *outbox.Writer
	Wake     func() // called after a commit that wrote outbox rows; never blocks
	Marks    Marks  // nil for none
	Observer Observer
	Tracer   trace.Tracer
	Logger   *slog.Logger
	Now      func() time.Time
}

// Core runs units of work on one service's database.
type Core struct {
	Config
}

// NewCore makes the part that all stores of a service share.
func NewCore(c Config) *Core { return &Core{c} }

// attempts is how often a unit is run when it meets another transaction.
const attempts = 8

// errDuplicate ends a unit whose message was handled before.
var errDuplicate = errors.New("the message was handled before")

// do runs fn in one transaction with the inbox row of the cause in ctx, and commits when it
// returns nil. A unit that meets another transaction is run again from its beginning.
func (c *Core) do(ctx context.Context, fn func(*unit) error) error {
	cause := messages.CauseOf(ctx)
	if c.seen(ctx, cause) {
		c.Observer.Duplicate(cause.Handler)
		return nil
	}
	for n := 1; ; n++ {
		u, err := c.once(ctx, cause, fn)
		switch {
		case errors.Is(err, errDuplicate):
			c.Observer.Duplicate(cause.Handler)
			c.mark(ctx, cause)
			return nil
		case err == nil:
			failpoint.Hit(failpoint.AfterCommit, c.Service)
			c.mark(ctx, cause)
			c.Observer.CommitBatch(1)
			u.committed()
			return nil
		case n == attempts || !meetsAnother(err):
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

func (c *Core) once(ctx context.Context, cause messages.Cause, fn func(*unit) error) (*unit, error) {
	u := &unit{core: c, ctx: ctx, cause: cause, now: c.Now().UTC().Truncate(time.Microsecond)}
	failpoint.Hit(failpoint.BeforeTransaction, c.Service)
	err := c.DB.InBatchTx(ctx, func(tx *sqldb.Tx) error {
		u.tx = tx
		if err := u.claim(); err != nil {
			return err
		}
		failpoint.Hit(failpoint.AfterInbox, c.Service)
		if err := fn(u); err != nil {
			return err
		}
		if err := u.flush(); err != nil {
			return err
		}
		return failpoint.Fail(failpoint.BeforeCommit, c.Service)
	})
	return u, sqldb.Classify(err)
}

func (c *Core) seen(ctx context.Context, cause messages.Cause) bool {
	return c.Marks != nil && cause.Consumer != "" && c.Marks.Seen(ctx, cause.Consumer, cause.MessageID)
}

func (c *Core) mark(ctx context.Context, cause messages.Cause) {
	if c.Marks != nil && cause.Consumer != "" {
		c.Marks.Mark(ctx, cause.Consumer, cause.MessageID)
	}
}

// meetsAnother says whether another transaction was in the way: serialization failure, deadlock,
// or a unique row that somebody else has just written and that a second run will see.
func meetsAnother(err error) bool {
	return errors.Is(err, sqldb.ErrRetry) || errors.Is(err, sqldb.ErrTaken)
}

func pause(ctx context.Context, n int) error {
	wait := time.Duration(rand.Int64N(int64(5*time.Millisecond) << min(n, 5)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// ErrStale: somebody else has changed the row since it was read.
var ErrStale = fault.New(fault.Conflict, "stale", "somebody else has moved on since")

func notFound(what, id string) error {
	return fault.New(fault.NotFound, what+"_not_found", fmt.Sprintf("there is no %s %s", what, id))
}
