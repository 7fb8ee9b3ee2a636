// Package sqlstore is the services' state in SQL: PostgreSQL in production, SQLite embedded, the
// same code for both. Nothing here decides anything about orders, and nothing here talks to Kafka.
//
// A handler's transaction is a unit (unit.go): it stages what it writes and never touches SQL. Units
// that are asked for at the same time are committed together (group.go): one transaction claims
// all their inbox rows, reads what any of them asks for by sets (loader.go), runs them one after the
// other, each seeing what those before it have staged, and writes all of it with a statement a
// table (batch.go, table.go). Whoever wrote a handler need not know. To know, read group.go, batch.go and loader.go,
// in that order.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
)

// Observer hears what the units of work do.
type Observer interface {
	Duplicate(handler string) // a message that had been handled before
	Parked(handler string)    // a message that waits behind a dead letter of its order
	CommitBatch(n int)        // n members were committed together
}

// Marks is a cache of handled messages in front of the inbox. It may forget and may be away.
type Marks interface {
	// Seen says of each delivery whether its consumer is known to have handled its message.
	Seen(ctx context.Context, causes []messages.Cause) []bool
	// Mark remembers handled messages. It does not wait.
	Mark(causes []messages.Cause)
}

// Config is what every store needs.
type Config struct {
	DB       *sqldb.DB
	Circuit  *sqldb.Circuit // in front of DB; nil for none
	Service  string         // the producer in headers
	Outbox   *outbox.Writer
	Wake     func() // called after a commit that wrote outbox rows; never blocks
	Marks    Marks  // nil for none
	Observer Observer
	Tracer   trace.Tracer
	Logger   *slog.Logger
	Now      func() time.Time

	// Linger delays every transaction by that much, so that others can share it: fewer commits for work that nobody
	// waits for. With 0, for all that somebody does, a group decides for itself (group.go).
	Linger time.Duration
}

// Core runs units of work on one service's database.
type Core struct {
	Config
	group group
}

// NewCore makes the part that all stores of a service share.
func NewCore(c Config) *Core { return &Core{Config: c} }

// attempts is how often a unit is run by itself when it meets another transaction.
const attempts = 8

// do runs fn as one unit of work with the inbox row of the cause in ctx, in a transaction that it
// may share with others. It commits when fn returns nil; when fn fails, nothing of it is left.
// While the database is away it fails at once. What is to be prefetched of a message's order is read before fn is run.
func (c *Core) do(ctx context.Context, fn func(*unit) error, prefetched ...prefetch) error {
	err := c.Circuit.Guard(ctx, func() error {
		if err := ctx.Err(); err != nil {
			return err // or a transaction could take it before its caller looks
		}
		m := newMember(ctx, fn, prefetched...)
		if m.special() {
			return c.repeat(ctx, fn, 1)
		}
		c.group.join(m, c)
		if !m.await() {
			return ctx.Err()
		}
		switch {
		case m.rerunAlone:
			return c.repeat(ctx, fn, 2)
		case m.cached:
			return sqldb.ErrNotAsked
		}
		return m.result()
	})
	if errors.Is(err, sqldb.ErrNotAsked) {
		return nil
	}
	return err
}

// alone is do in a transaction of its own.
func (c *Core) alone(ctx context.Context, fn func(*unit) error) error {
	return c.Circuit.Guard(ctx, func() error { return c.repeat(ctx, fn, 1) })
}

// repeat runs fn in a transaction of its own, and again from its beginning when it meets another one. It begins
// with the n-th attempt. An attempt that is begun is waited for, as in a group: whoever left would not know how it
// ended.
func (c *Core) repeat(ctx context.Context, fn func(*unit) error, n int) error {
	for ; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := newMember(ctx, fn)
		err := c.try([]*member{m})
		if err == nil && meetsAnother(m.err) {
			err = m.err
		}
		switch {
		case err == nil:
			return m.result()
		case n == attempts || !meetsAnother(err):
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
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
