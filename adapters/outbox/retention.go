package outbox

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
)

// batch is how many rows one statement of housekeeping touches: few enough that nobody who writes
// beside it notices.
const batch = 500

// State is what lies in an outbox.
type State struct {
	Pending   int64         `json:"pending"`   // not yet in Kafka
	Oldest    time.Duration `json:"oldest"`    // since the oldest of those was written
	Published int64         `json:"published"` // in Kafka, kept for a replay
	Dead      int64         `json:"dead"`      // given up
}

// Purge deletes rows that were published longer ago than olderThan, and tells how many. It may be
// stopped at any time.
func Purge(ctx context.Context, db *sqldb.DB, olderThan time.Duration) (int64, error) {
	// The clock is read in a query of its own, or PostgreSQL would read it for every row and leave
	// the index aside.
	total, err := db.Prune(ctx, `DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox
		WHERE published_at < (SELECT `+db.Dialect.NowPlus("?")+`) ORDER BY published_at LIMIT ?)`, batch, -olderThan.Microseconds())
	if err != nil {
		return total, fmt.Errorf("purge the outbox: %w", err)
	}
	return total, nil
}

// Replay takes back that rows are published which were written or published at or after since, so
// that the relay sends them again, and tells how many. (One that was written before, and published
// after an outage, may be what the broker has lost.) What the relay has under way is sent again too, and not
// counted here. Rows that come while it runs are left alone.
func Replay(ctx context.Context, db *sqldb.DB, since time.Time) (int64, error) {
	// From here on a mark of what was read before is void. One that is being written holds the count, and is
	// waited for: so what it marks is found below.
	if _, err := db.ExecContext(ctx, "UPDATE outbox_replays SET n = n + 1"); err != nil {
		return 0, fmt.Errorf("replay the outbox: %w", sqldb.Classify(err))
	}
	var last, from, total int64
	if err := db.GetContext(ctx, &last, "SELECT coalesce(max(seq), 0) FROM outbox"); err != nil {
		return 0, fmt.Errorf("replay the outbox: %w", sqldb.Classify(err))
	}
	find := db.Rebind(`SELECT seq FROM outbox
		WHERE seq > ? AND seq <= ? AND (published_at >= ? OR created_at >= ? AND published_at IS NOT NULL) ORDER BY seq LIMIT ?`)
	unmark := db.Rebind("UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL AND " + seqAmong(db))
	for {
		var seqs []int64
		if err := db.SelectContext(ctx, &seqs, find, from, last, since.UTC(), since.UTC(), batch); err != nil {
			return total, fmt.Errorf("replay the outbox: %w", sqldb.Classify(err))
		}
		if len(seqs) == 0 {
			return total, nil
		}
		result, err := db.ExecContext(ctx, unmark, sqldb.Set(db.Dialect, seqs))
		if err != nil {
			return total, fmt.Errorf("replay the outbox: %w", sqldb.Classify(err))
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, err
		}
		total += n
		from = seqs[len(seqs)-1]
	}
}

// Status counts the rows. It reads the whole table.
func Status(ctx context.Context, db *sqldb.DB) (State, error) {
	age := "(extract(epoch FROM " + db.Dialect.Now() + " - min(created_at)) * 1000000)::bigint"
	if db.Dialect == sqldb.SQLite {
		age = db.Dialect.Now() + " - min(created_at)"
	}
	var (
		s      State
		micros int64
	)
	err := db.Read.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM outbox WHERE published_at IS NULL),
		(SELECT coalesce(`+age+`, 0) FROM outbox WHERE published_at IS NULL),
		(SELECT count(*) FROM outbox WHERE published_at IS NOT NULL),
		(SELECT count(*) FROM outbox_dead)`).Scan(&s.Pending, &micros, &s.Published, &s.Dead)
	if err != nil {
		return State{}, fmt.Errorf("status of the outbox: %w", sqldb.Classify(err))
	}
	s.Oldest = max(0, time.Duration(micros)*time.Microsecond)
	return s, nil
}
