package outbox_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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

func TestAReplaySendsAgainWhatWasWrittenOrPublishedSince(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const recent = 1100 // more than one batch
		lost := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
		records := spread(recent + 3)
		for i := range records {
			records[i].CreatedAt = lost.Add(time.Duration(i-3) * time.Microsecond)
		}
		write(t, db, records...)
		s := newStage()
		relay, _ := start(t, db, s)
		s.awaitPublished(t, recent+3)
		// The first two were published before, and the third one, after an outage, just now.
		_, err := db.ExecContext(t.Context(), db.Rebind("UPDATE outbox SET published_at = "+db.Dialect.NowPlus("?")+" WHERE id IN (?, ?)"),
			-(2 * time.Hour).Microseconds(), records[0].ID, records[1].ID)
		must(t, err)

		n, err := outbox.Replay(t.Context(), db, lost)
		if err != nil || n != recent+1 {
			t.Fatalf("replayed %d, %v, want %d", n, err, recent+1)
		}
		relay.Wake()
		s.awaitPublished(t, 2*recent+4)
		if got := s.texts(); len(got["ord_1"]) != 1 || len(got["ord_2"]) != 2 || len(got["ord_3"]) != 2 {
			t.Errorf("before: %v, since: %v and %v", got["ord_1"], got["ord_2"], got["ord_3"])
		}
	})
}

// The broker that took it may be the one whose disk is lost, though the mark came after the replay.
func TestAReplaySendsAgainWhatWasUnderWayMeanwhile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		flying, answer := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s := newStage()
		s.refuse = func(string, *message.Message) error {
			once.Do(func() {
				close(flying)
				<-answer
			})
			return nil
		}
		write(t, db, record("ord_1", "under way"))
		start(t, db, s)
		<-flying
		if n, err := outbox.Replay(t.Context(), db, time.Time{}); err != nil || n != 0 {
			t.Fatalf("replayed %d, %v, want nothing: it is not marked yet", n, err)
		}
		close(answer)
		s.await(t, "it is sent again", func() bool { return len(s.taken) == 2 })
		s.await(t, "it is marked", func() bool { return s.published == 1 })
		if got := status(t, db); got.Pending != 0 || got.Published != 1 {
			t.Errorf("the outbox has %+v", got)
		}
	})
}

// The row of the message is locked by somebody, so that the relay's mark is under way when the replay comes.
func TestAReplayWaitsForTheMarkThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) { replayWaits(t, postgres(t)) })
}

func replayWaits(t *testing.T, db *sqldb.DB) {
	t.Helper()
	foreign, err := db.BeginTxx(t.Context(), nil)
	must(t, err)
	defer func() { _ = foreign.Rollback() }()
	s := newStage()
	var once sync.Once
	s.refuse = func(string, *message.Message) error {
		once.Do(func() {
			_, err := foreign.ExecContext(t.Context(), "SELECT 1 FROM outbox FOR UPDATE")
			if err != nil {
				t.Error(err)
			}
		})
		return nil
	}
	write(t, db, record("ord_1", "marked late"))
	relay, _ := start(t, db, s)
	waits := func(query string) bool {
		var n int
		must(t, db.GetContext(t.Context(), &n, `SELECT count(*) FROM pg_stat_activity
			WHERE cardinality(pg_blocking_pids(pid)) > 0 AND query LIKE $1
			AND pid IN (SELECT pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relnamespace = current_schema()::regnamespace)`, query))
		return n > 0
	}
	poll(t, "the mark waits for the row", func() bool { return waits("UPDATE outbox SET published_at%") })
	replayed := make(chan error, 1)
	go func() {
		_, err := outbox.Replay(t.Context(), db, time.Time{})
		replayed <- err
	}()
	poll(t, "the replay waits for the mark, or is over", func() bool {
		return len(replayed) > 0 || waits("UPDATE outbox_replays%")
	})
	must(t, foreign.Rollback())
	must(t, <-replayed)
	relay.Wake()
	s.await(t, "it is sent again", func() bool { return len(s.taken) == 2 })
}

// poll waits until something outside is true.
func poll(t *testing.T, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for limit := time.After(20 * time.Second); !is(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("never came true: %s", what)
		}
	}
}

func TestWhatWasGivenUpCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	errTooLarge := errors.New("message too large")
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const n = 600 // more than one batch
		var mended atomic.Bool
		s := newStage()
		s.refuse = func(_ string, msg *message.Message) error {
			if !mended.Load() || msg.Metadata["correlationId"] == "ord_7" {
				return errTooLarge
			}
			return nil
		}
		records := spread(n)
		write(t, db, records...)
		relay, _ := start(t, db, s, func(c *outbox.Config) {
			c.Permanent = func(err error) bool { return errors.Is(err, errTooLarge) }
		})
		s.await(t, "all are given up", func() bool { return len(s.dead) == n })
		last, err := outbox.LastDead(t.Context(), db, 3)
		must(t, err)
		if len(last) != 3 || last[0].Reason != errTooLarge.Error() || last[0].DiedAt.Before(last[2].DiedAt) {
			t.Errorf("the last dead are %+v", last)
		}

		mended.Store(true)
		revived, err := outbox.Revive(t.Context(), db)
		if err != nil || revived != n {
			t.Fatalf("revived %d, %v, want %d", revived, err, n)
		}
		relay.Wake()
		s.awaitPublished(t, n-1)
		s.await(t, "one is given up again", func() bool { return len(s.dead) == n+1 })
		dead, err := outbox.CountDead(t.Context(), db)
		if got := status(t, db); err != nil || dead != 1 || got.Dead != 1 || got.Pending != 0 || got.Published != n-1 {
			t.Errorf("in the end %d dead, %v, and %+v", dead, err, got)
		}
		if got := s.texts(); len(got) != n-1 || got["ord_3"][0] != "one" {
			t.Errorf("%d messages arrived", len(got))
		}
	})
}
