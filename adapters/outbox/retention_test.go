package outbox_test

import (
	"testing"
	"time"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

func TestPurgeDeletesWhatWasPublishedLongAgoAndNothingElse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const old = 1234 // more than one batch
		write(t, db, spread(old)...)
		_, err := db.ExecContext(t.Context(), db.Rebind("UPDATE outbox SET published_at = "+db.Dialect.NowPlus("?")), -(8 * 24 * time.Hour).Microseconds())
		must(t, err)
		write(t, db, spread(3)...)
		_, err = db.ExecContext(t.Context(), "UPDATE outbox SET published_at = "+db.Dialect.Now()+" WHERE published_at IS NULL")
		must(t, err)
		long := record("ord_1", "waits for a month")
		long.CreatedAt = time.Now().Add(-30 * 24 * time.Hour)
		write(t, db, long)

		n, err := outbox.Purge(t.Context(), db, 7*24*time.Hour)
		got := status(t, db)
		if err != nil || n != old || got.Published != 3 || got.Pending != 1 {
			t.Errorf("purged %d, %v, left %+v", n, err, got)
		}
		if got.Oldest < 30*24*time.Hour-time.Minute || got.Oldest > 30*24*time.Hour+time.Minute {
			t.Errorf("the oldest waits for %v", got.Oldest)
		}
	})
}

func TestAReplaySendsAgainWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const recent = 1100 // more than one batch
		lost := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
		records := spread(recent + 2)
		for i := range records {
			records[i].CreatedAt = lost.Add(time.Duration(i-2) * time.Microsecond)
		}
		write(t, db, records...)
		s := newStage()
		relay, _ := start(t, db, s)
		s.awaitPublished(t, recent+2)

		n, err := outbox.Replay(t.Context(), db, lost)
		if err != nil || n != recent {
			t.Fatalf("replayed %d, %v, want %d", n, err, recent)
		}
		relay.Wake()
		s.awaitPublished(t, 2*recent+2)
		if got := s.texts(); len(got["ord_1"]) != 1 || len(got["ord_2"]) != 2 {
			t.Errorf("before: %v, since: %v", got["ord_1"], got["ord_2"])
		}
	})
}
