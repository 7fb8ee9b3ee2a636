package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
)

// Dead is a row that was given up.
type Dead struct {
	ID          string    `db:"id"` // of the message
	AggregateID string    `db:"aggregate_id"`
	EventType   string    `db:"event_type"`
	Topic       string    `db:"topic"`
	Reason      string    `db:"reason"`
	CreatedAt   time.Time `db:"created_at"`
	DiedAt      time.Time `db:"died_at"`
}

// LastDead gives the rows that were given up last, at most limit of them, the newest first.
func LastDead(ctx context.Context, db *sqldb.DB, limit int) ([]Dead, error) {
	rows := []Dead{}
	err := db.Read.SelectContext(ctx, &rows, db.Read.Rebind(`SELECT id, aggregate_id, event_type, topic, reason, created_at, died_at
		FROM outbox_dead ORDER BY died_at DESC, id LIMIT ?`), limit)
	if err != nil {
		return nil, fmt.Errorf("dead rows of the outbox: %w", sqldb.Classify(err))
	}
	return rows, nil
}

// CountDead counts the rows that were given up and wait for a person.
func CountDead(ctx context.Context, db *sqldb.DB) (int, error) {
	var n int
	if err := db.Read.GetContext(ctx, &n, "SELECT count(*) FROM outbox_dead"); err != nil {
		return 0, fmt.Errorf("dead rows of the outbox: %w", sqldb.Classify(err))
	}
	return n, nil
}

// Revive puts every row that had been given up when it began back into the outbox, oldest first, where
// the relay tries it like a new one, and tells how many. It comes after the messages of its aggregate
// that were sent meanwhile. A batch is one transaction: a row is in one of the two tables at any time.
// What still cannot be sent comes back to outbox_dead, and stays there.
func Revive(ctx context.Context, db *sqldb.DB) (int64, error) {
	var before any // the database's clock, as it writes it
	if err := db.QueryRowContext(ctx, "SELECT "+db.Dialect.Now()).Scan(&before); err != nil {
		return 0, fmt.Errorf("revive the outbox: %w", sqldb.Classify(err))
	}
	var total int64
	for {
		n, err := revive(ctx, db, before)
		total += n
		if err != nil {
			return total, fmt.Errorf("revive the outbox: %w", sqldb.Classify(err))
		}
		if n < batch {
			return total, nil
		}
	}
}

func revive(ctx context.Context, db *sqldb.DB, before any) (n int64, err error) {
	err = db.InTx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		if err := tx.SelectContext(ctx, &ids, tx.Rebind(`SELECT id FROM outbox_dead WHERE died_at <= ?
			ORDER BY created_at, id LIMIT ?`+db.Dialect.ForUpdate()), before, batch); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO outbox (id, aggregate_id, event_type, payload, headers, topic, created_at)
				SELECT id, aggregate_id, event_type, payload, headers, topic, created_at FROM outbox_dead WHERE id = ?
				ON CONFLICT (id) DO UPDATE SET published_at = NULL`), id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, tx.Rebind("DELETE FROM outbox_dead WHERE id = ?"), id); err != nil {
				return err
			}
		}
		n = int64(len(ids))
		return nil
	})
	return n, err
}
