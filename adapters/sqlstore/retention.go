package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
)

// purgeBatch is how many rows one statement deletes: few enough that nobody waits for it. Between two
// of them whoever waits for SQLite's one writer gets his turn.
const purgeBatch = 1000

// PurgeInbox deletes rows of messages that were handled and can no longer come again. It returns how
// many. Rows of dead letters stay: whoever sends one again needs them.
func (c *Core) PurgeInbox(ctx context.Context, age time.Duration) (int64, error) {
	return c.purge(ctx, inboxRows, age)
}

// PurgeIdempotencyKeys deletes replies that are no longer promised. It returns how many.
func (c *Core) PurgeIdempotencyKeys(ctx context.Context, age time.Duration) (int64, error) {
	return c.purge(ctx, idempotencyRows, age)
}

// aging is a table whose rows go when they are old, oldest first.
type aging struct{ table, key, column, only string }

var (
	inboxRows       = aging{"inbox", "consumer, message_id", "handled_at", " AND outcome = 'done'"}
	idempotencyRows = aging{"idempotency_keys", "user_id, key", "created_at", ""}
)

// query deletes one batch. The clock is read in a query of its own, or PostgreSQL would read it for
// every row and leave the index aside.
func (a aging) query(d sqldb.Dialect) string {
	return "DELETE FROM " + a.table + " WHERE (" + a.key + ") IN (SELECT " + a.key + " FROM " + a.table +
		" WHERE " + a.column + " < (SELECT " + d.NowPlus("?") + ")" + a.only + " ORDER BY " + a.column + " LIMIT ?)"
}

func (c *Core) purge(ctx context.Context, a aging, age time.Duration) (int64, error) {
	total, err := c.DB.Prune(ctx, a.query(c.DB.Dialect), purgeBatch, -age.Microseconds())
	if err != nil {
		return total, fmt.Errorf("purge %s: %w", a.table, err)
	}
	return total, nil
}
