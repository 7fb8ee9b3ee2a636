package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
)

// statementTime is how long one statement of the relay may take: a connection that hangs is
// noticed then.
const statementTime = 10 * time.Second

// table is the outbox as the relay sees it.
type table struct{ db *sqldb.DB }

// pending reads the oldest rows that are not published, except those in held. Rows below from are
// left out: what has been published still lies in the index for a while, and need not be walked
// over by every read.
func (t table) pending(ctx context.Context, from int64, held []int64, limit int) ([]*row, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	found, err := t.db.Read.QueryContext(ctx, t.db.Read.Rebind(
		"SELECT seq, id, aggregate_id, topic, payload, headers, created_at, "+replays+" FROM "+waiting(t.db)+
			" AND seq >= ? AND NOT ("+seqAmong(t.db)+") ORDER BY seq LIMIT ?"), from, sqldb.Set(t.db.Dialect, held), limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	var rows []*row
	for found.Next() {
		var r row
		if err := found.Scan(&r.seq, &r.id, &r.aggregate, &r.topic, &r.payload, &r.headers, &r.createdAt, &r.replays); err != nil {
			return nil, err
		}
		rows = append(rows, &r)
	}
	return rows, found.Err()
}

// mark writes down that the rows are in Kafka, and gives their number. When the outbox was replayed since
// they were read it does nothing: the broker that has them may be the one that was lost, so they are sent
// again. The condition holds until the commit: a replay waits for it to be counted.
func (t table) mark(ctx context.Context, seqs []int64, replayed int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	result, err := t.db.ExecContext(ctx, t.db.Rebind(
		"UPDATE outbox SET published_at = "+t.db.Dialect.Now()+" WHERE "+seqAmong(t.db)+" AND "+counted(t.db)+" = ?"), sqldb.Set(t.db.Dialect, seqs), replayed)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// replays is how often the outbox was replayed.
const replays = "(SELECT n FROM outbox_replays)"

// counted is that number, held until the end of the transaction. In SQLite one writes at a time.
func counted(db *sqldb.DB) string {
	if db.Dialect == sqldb.SQLite {
		return replays
	}
	return "(SELECT n FROM outbox_replays FOR SHARE)"
}

// bury moves a row that can never be sent to outbox_dead.
func (t table) bury(ctx context.Context, seq int64, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	return t.db.InTx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO outbox_dead
			(id, aggregate_id, event_type, payload, headers, topic, created_at, reason, died_at)
			SELECT id, aggregate_id, event_type, payload, headers, topic, created_at, ?, `+t.db.Dialect.Now()+`
			FROM outbox WHERE seq = ?
			ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, died_at = excluded.died_at`), reason, seq)
		if err != nil {
			return fmt.Errorf("write to outbox_dead: %w", err)
		}
		_, err = tx.ExecContext(ctx, tx.Rebind("DELETE FROM outbox WHERE seq = ?"), seq)
		return err
	})
}

// backlog counts the rows that wait, and tells when the first of them was written.
func (t table) backlog(ctx context.Context) (int, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	var n int
	if err := t.db.Read.GetContext(ctx, &n, "SELECT count(*) FROM "+waiting(t.db)); err != nil || n == 0 {
		return 0, time.Time{}, err
	}
	var first []time.Time
	err := t.db.Read.SelectContext(ctx, &first, "SELECT created_at FROM "+waiting(t.db)+" ORDER BY seq LIMIT 1")
	if err != nil || len(first) == 0 {
		return 0, time.Time{}, err
	}
	return n, first[0], nil
}

// waiting is the table with the condition that a row is not published. Left to itself SQLite walks
// the primary key to find them in order, and so every row ever published.
func waiting(db *sqldb.DB) string {
	if db.Dialect == sqldb.SQLite {
		return "outbox INDEXED BY outbox_pending WHERE published_at IS NULL"
	}
	return "outbox WHERE published_at IS NULL"
}

// seqAmong is the condition that a row is one of a set.
func seqAmong(db *sqldb.DB) string { return db.Dialect.Among("seq", "bigint") }
