package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
)

// purgeBatch is how many rows one statement deletes, so that nobody waits for it.
const purgeBatch = 2000

// PurgeInbox deletes rows of messages that can no longer come again. It returns how many. Those of
// dead letters and of what is parked stay: they are sent again when somebody says so.
func (c *Core) PurgeInbox(ctx context.Context, age time.Duration) (int64, error) {
	return c.purge(ctx, "inbox", "consumer, message_id", "outcome = 'done' AND handled_at", age)
}

// PurgeIdempotencyKeys deletes replies that are no longer promised. It returns how many.
func (c *Core) PurgeIdempotencyKeys(ctx context.Context, age time.Duration) (int64, error) {
	return c.purge(ctx, "idempotency_keys", "user_id, key", "created_at", age)
}

func (c *Core) purge(ctx context.Context, table, key, column string, age time.Duration) (int64, error) {
	query := c.DB.Rebind("DELETE FROM " + table + " WHERE (" + key + ") IN (SELECT " + key + " FROM " + table +
		" WHERE " + column + " < " + c.DB.Dialect.NowPlus("?") + " LIMIT ?)")
	var total int64
	for {
		result, err := c.DB.ExecContext(ctx, query, -age.Microseconds(), purgeBatch)
		if err != nil {
			return total, fmt.Errorf("purge %s: %w", table, sqldb.Classify(err))
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("purge %s: %w", table, err)
		}
		if total += n; n < purgeBatch {
			return total, nil
		}
	}
}
