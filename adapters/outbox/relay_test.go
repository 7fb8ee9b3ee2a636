package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jmoiron/sqlx"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

var errAway = errors.New("no broker")

func TestACommittedRowIsSentAtOnceWithoutPolling(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		relay, _ := start(t, db, s)
		for i := range 20 {
			write(t, db, record("ord_1", fmt.Sprint(i)))
			relay.Wake()
			s.awaitPublished(t, i+1)
		}
		got := status(t, db)
		if got.Pending != 0 || got.Published != 20 {
			t.Errorf("state %+v, want 20 published", got)
		}
	})
}

func TestWhatAMessageCarriesArrivesUnchanged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		r := record("ord_1", "\x00\xff not JSON \"<&>")
		r.Topic, r.Headers = "order.events", map[string]string{"correlationId": "ord_1", "with \"quotes\"": "naïve\n\u2028<&>"}
		write(t, db, r)
		start(t, db, s)
		s.awaitTaken(t, 1)
		got := s.taken[0]
		want := message.NewMessage(r.ID, r.Payload)
		want.Metadata = r.Headers
		if !got.Equals(want) || s.topics["order.events"] != 1 {
			t.Errorf("got %s %v %q on %v", got.UUID, got.Metadata, got.Payload, s.topics)
		}
	})
}

func TestAPartialBatchAndThenTheEndLosesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		var takes atomic.Int32
		s.refuse = func(string, *message.Message) error {
			if takes.Add(1) > 7 {
				return errAway
			}
			return nil
		}
		write(t, db, spread(10)...)
		_, end := start(t, db, s)
		s.await(t, "seven taken, others refused", func() bool { return len(s.taken) == 7 && s.attempts > 10 })
		end()
		if got := status(t, db); got.Published != 7 || got.Pending != 3 {
			t.Fatalf("after the end: %+v, want 7 published and 3 pending", got)
		}
		second := newStage()
		start(t, db, second)
		second.awaitPublished(t, 3)
		if all := len(s.texts()) + len(second.texts()); all != 10 {
			t.Errorf("%d of 10 aggregates arrived, or some twice", all)
		}
	})
}

func TestAMessageInFlightAtTheEndIsAwaitedAndMarked(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		s.delay = 300 * time.Millisecond
		write(t, db, spread(50)...)
		_, end := start(t, db, s)
		s.await(t, "all in flight", func() bool { return s.flying == 50 })
		end()
		if got := status(t, db); got.Published != 50 {
			t.Errorf("after the end: %+v, want all published", got)
		}
	})
}

func TestWhatKafkaTakesIsMarkedTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		relay, _ := start(t, db, s)
		const rows = 20
		begun := time.Now()
		for n := range rows { // in Kafka at once, one after the other
			write(t, db, record(fmt.Sprintf("ord_%d", n), "one"))
			relay.Wake()
			s.awaitTaken(t, n+1)
		}
		var marks int
		s.await(t, "all are marked", func() bool { marks = s.marks; return s.published == rows })
		if most := 2 + int(time.Since(begun)/outbox.MarkAfter); marks > most {
			t.Errorf("%d rows took %d marks, and at most %d fit into the time", rows, marks, most)
		}
	})
}

func TestAPublisherThatHangsCannotHoldTheEndForEver(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		s.delay = time.Hour
		write(t, db, spread(3)...)
		_, end := start(t, db, s, func(c *outbox.Config) { c.Grace = 50 * time.Millisecond })
		s.await(t, "all in flight", func() bool { return s.flying == 3 })
		end()
		if got := status(t, db); got.Pending != 3 {
			t.Errorf("after the end: %+v, want 3 pending", got)
		}
	})
}

func TestAWholeWindowIsInFlightAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const n, window = 2000, 200
		s := newStage()
		full := make(chan struct{})
		var flying atomic.Int32
		var fill sync.Once
		s.refuse = func(string, *message.Message) error { // it answers nobody until that many have come
			if flying.Add(1) == window {
				fill.Do(func() { close(full) })
			}
			<-full
			flying.Add(-1)
			return nil
		}
		write(t, db, spread(n)...)
		start(t, db, s, func(c *outbox.Config) { c.Window = window })
		s.await(t, "a window in flight", func() bool { return s.most == window })
		s.awaitPublished(t, n)
		if s.most > window {
			t.Errorf("%d in flight at most, want %d", s.most, window)
		}
	})
}

// One message at a time makes no more than 500 a second at a broker that answers after 2 ms.
func BenchmarkRelay(b *testing.B) {
	onEach(b, func(b *testing.B, db *sqldb.DB) {
		s := newStage()
		s.delay = 2 * time.Millisecond
		write(b, db, spread(b.N)...)
		b.ResetTimer()
		start(b, db, s)
		s.awaitPublished(b, b.N)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func TestOneNeverAcceptedMessageDoesNotStopThoseBehindIt(t *testing.T) {
	t.Parallel()
	errTooLarge := errors.New("message too large")
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		s.refuse = func(_ string, msg *message.Message) error {
			if string(msg.Payload) == "huge" {
				return errTooLarge
			}
			return nil
		}
		foreign := record("ord_1", "foreign")
		foreign.Topic = "somebody.elses"
		write(t, db, record("ord_1", "a"), record("ord_1", "huge"), foreign, record("ord_1", "b"), record("ord_2", "c"))
		start(t, db, s, func(c *outbox.Config) {
			c.Permanent = func(err error) bool { return errors.Is(err, errTooLarge) }
			c.KnownTopic = func(topic string) bool { return topic == "payment.events" }
		})
		s.awaitPublished(t, 3)
		if got := fmt.Sprint(s.texts()); got != "map[ord_1:[a b] ord_2:[c]]" {
			t.Errorf("arrived: %s", got)
		}
		if s.topics["somebody.elses"] != 0 || fmt.Sprint(s.dead) != "[payment.events somebody.elses]" {
			t.Errorf("dead %v, topics %v", s.dead, s.topics)
		}
		var reasons []string
		must(t, db.SelectContext(t.Context(), &reasons, "SELECT reason FROM outbox_dead ORDER BY topic"))
		want := `[message too large the topic "somebody.elses" is not one of ours]`
		if got := status(t, db); got.Pending != 0 || got.Dead != 2 || fmt.Sprint(reasons) != want {
			t.Errorf("state %+v, reasons %v", got, reasons)
		}
	})
}

func TestARowThatIsNoMessageDoesNotStopThoseBehindIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		broken, lost := record("ord_1", "broken"), record("ord_1", "lost")
		write(t, db, broken, lost, record("ord_1", "whole"))
		_, err := db.ExecContext(t.Context(), db.Rebind("UPDATE outbox SET headers = ? WHERE id = ?"), `{"n":1}`, broken.ID)
		must(t, err)
		_, err = db.ExecContext(t.Context(), db.Rebind("UPDATE outbox SET topic = '' WHERE id = ?"), lost.ID)
		must(t, err)
		start(t, db, s)
		s.awaitPublished(t, 1)
		if got := status(t, db); got.Dead != 2 || got.Pending != 0 || len(s.dead) != 2 {
			t.Errorf("state %+v, dead %v", got, s.dead)
		}
		var reasons []string
		must(t, db.SelectContext(t.Context(), &reasons, "SELECT reason FROM outbox_dead ORDER BY topic"))
		want := "[the stored row is not a message: it has no topic the stored row is not a message: its headers are not a JSON object of strings]"
		if fmt.Sprint(reasons) != want {
			t.Errorf("reasons %v, want %s", reasons, want)
		}
	})
}

func TestAMissingTopicIsMadeAgainAndWaitedFor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var made atomic.Bool
		s := newStage()
		s.refuse = func(topic string, _ *message.Message) error {
			if topic == "gone" && !made.Load() {
				return errors.New("unknown topic or partition")
			}
			return nil
		}
		first, second := record("ord_1", "first"), record("ord_1", "second")
		first.Topic = "gone"
		write(t, db, first, second, record("ord_2", "other"))
		start(t, db, s, func(c *outbox.Config) {
			c.EnsureTopic = func(_ context.Context, topic string) error { made.Store(topic == "gone"); return nil }
		})
		s.awaitPublished(t, 3)
		if got := fmt.Sprint(s.texts()["ord_1"]); got != "[first second]" || len(s.dead) != 0 {
			t.Errorf("ord_1 got %s, dead %v", got, s.dead)
		}
	})
}

func TestAPanicOfThePublisherIsOneFailedAttempt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var once sync.Once
		s := newStage()
		s.refuse = func(string, *message.Message) error {
			once.Do(func() { panic("a mistake") })
			return nil
		}
		write(t, db, record("ord_1", "one"))
		start(t, db, s)
		s.awaitPublished(t, 1)
		if got := status(t, db); got.Dead != 0 || s.attempts != 2 {
			t.Errorf("state %+v after %d attempts", got, s.attempts)
		}
	})
}

func TestAnAggregatesOrderHoldsUnderRandomFailures(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const aggregates, each = 20, 12
		dice := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		s := newStage()
		s.refuse = func(string, *message.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if dice.IntN(4) == 0 {
				return errAway
			}
			return nil
		}
		relay, _ := start(t, db, s, func(c *outbox.Config) { c.Window = 7 })
		want := map[string][]string{}
		for i := range each {
			var batch []outbox.Record
			for a := range aggregates {
				r := record(fmt.Sprintf("ord_%d", a), fmt.Sprint(i))
				want[r.AggregateID] = append(want[r.AggregateID], fmt.Sprint(i))
				batch = append(batch, r)
			}
			write(t, db, batch...)
			relay.Wake()
		}
		s.awaitPublished(t, aggregates*each)
		if got := s.texts(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("out of order or not once: %v", got)
		}
	})
}

func TestAnOutageOfTheBrokerLosesNothingAndMarksNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var away atomic.Bool
		away.Store(true)
		s := newStage()
		s.refuse = func(string, *message.Message) error {
			if away.Load() {
				return errAway
			}
			return nil
		}
		relay, _ := start(t, db, s, func(c *outbox.Config) { c.Window = 16 })
		write(t, db, spread(300)...) // more than the relay keeps in memory
		relay.Wake()
		s.await(t, "every row in memory was tried", func() bool { return s.attempts > 300 })
		if got := status(t, db); got.Pending != 300 || got.Dead != 0 || s.published != 0 {
			t.Fatalf("during the outage: %+v, %d marked", got, s.published)
		}
		away.Store(false)
		s.awaitPublished(t, 300)
		if got := s.texts(); len(got) != 300 || len(s.taken) != 300 {
			t.Errorf("%d aggregates, %d messages arrived", len(got), len(s.taken))
		}
	})
}

func TestAnOpenForeignTransactionStallsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		foreign, err := db.Read.BeginTxx(t.Context(), nil)
		must(t, err)
		defer func() { _ = foreign.Rollback() }()
		begun := "SELECT count(*) FROM outbox_dead" // a snapshot that stays open
		if db.Dialect == sqldb.Postgres {
			begun = "SELECT pg_current_xact_id()::text::bigint" // a transaction id that stays open
		}
		var n int64
		must(t, foreign.GetContext(t.Context(), &n, begun))

		s := newStage()
		relay, _ := start(t, db, s)
		write(t, db, spread(10)...)
		relay.Wake()
		s.awaitPublished(t, 10)
	})
}

func TestARowThatCommitsOutOfOrderIsStillSent(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		relay, _ := start(t, db, s)
		if db.Dialect == sqldb.SQLite { // which has one writer: only a given number can come late
			write(t, db, record("ord_1", "first"))
			_, err := db.ExecContext(t.Context(), "UPDATE sqlite_sequence SET seq = 1000 WHERE name = 'outbox'")
			must(t, err)
			write(t, db, record("ord_2", "second"))
			relay.Wake()
			s.awaitPublished(t, 2)
			_, err = db.ExecContext(t.Context(), `INSERT INTO outbox (seq, id, aggregate_id, event_type, payload, headers, topic, created_at)
				SELECT 500, 'late', 'ord_3', event_type, payload, headers, topic, created_at FROM outbox WHERE seq = 1`)
			must(t, err)
			relay.Wake()
			s.awaitPublished(t, 3)
			return
		}
		must(t, db.InTx(t.Context(), func(early *sqlx.Tx) error {
			must(t, outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), early, []outbox.Record{record("ord_1", "early number")}))
			write(t, db, record("ord_2", "late number"))
			relay.Wake()
			s.awaitPublished(t, 1)
			return nil
		}))
		relay.Wake()
		s.awaitPublished(t, 2)
	})
}

func TestWhatWaitsIsReported(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		s := newStage()
		s.refuse = func(string, *message.Message) error { return errAway }
		old := record("ord_1", "old")
		old.CreatedAt = time.Now().Add(-time.Minute)
		write(t, db, old, record("ord_2", "new"))
		write(t, db, spread(30)...)
		_, end := start(t, db, s, func(c *outbox.Config) { c.Poll = 10 * time.Millisecond; c.Window = 1 }) // 16 in memory: the table is asked
		s.await(t, "32 pending for a minute", func() bool { return s.pending == 32 && s.oldest >= time.Minute })
		end()
	})
}
