package outbox_test

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"millrace/adapters/outbox"
)

// The known faults of Watermill's SQL subscriber (watermill-sql 4.1.2), one a test. When a test
// says that the stock one has lost a fault, a later version has mended it, and this adapter has one
// reason less to exist.

// The batch that a message was read in is acknowledged as a whole, whatever became of its end.
func TestWhatABatchDidNotSendIsNotLostAtTheEnd(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T, c contestant) int {
		s, away := sevenOfTen()
		c.store(t, spread(10)...)
		end := c.carry(t, s)
		s.await(t, "seven are taken and another is tried", func() bool { return len(s.taken) == 7 && s.attempts > 7 })
		end()
		away.Store(false)
		return missing(t, c, s, 10)
	}
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		if n := lost(t, newQueue(t)); n != 3 {
			t.Errorf("the stock subscriber lost %d of 10 messages when it was closed, and is known to lose 3", n)
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		if n := lost(t, newOurs(t)); n != 0 {
			t.Errorf("%d of 10 messages are lost", n)
		}
	})
}

// An outage of the broker that is longer than the stock subscriber's acknowledgement deadline.
func TestWhatABatchDidNotSendIsNotLostInAnOutage(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T, c contestant, outage func(s *stage) bool) int {
		s, away := sevenOfTen()
		c.store(t, spread(10)...)
		end := c.carry(t, s)
		s.await(t, "the outage has lasted", func() bool { return outage(s) })
		away.Store(false)
		defer end()
		return missing(t, c, s, 10)
	}
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		c := newQueue(t)
		c.deadline = 2 * time.Second // longer than seven messages take on a busy machine
		// At the deadline it gives the batch up and reads the next one: it polls again.
		if n := lost(t, c, func(s *stage) bool { s.look(); return len(s.taken) == 7 && c.polls.Load() > 1 }); n != 3 {
			t.Errorf("the stock subscriber lost %d of 10 messages at its deadline, and is known to lose 3", n)
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		if n := lost(t, newOurs(t), func(s *stage) bool { return len(s.taken) == 7 && s.attempts > 20 }); n != 0 {
			t.Errorf("%d of 10 messages are lost", n)
		}
	})
}

// sevenOfTen is a broker that takes seven messages and is then away for as long as the flag says.
func sevenOfTen() (*stage, *atomic.Bool) {
	var away atomic.Bool
	away.Store(true)
	var takes atomic.Int32
	s := newStage()
	s.refuse = func(string, *message.Message) error {
		if away.Load() && takes.Add(1) > 7 {
			return errAway
		}
		return nil
	}
	return s, &away
}

// missing carries until nothing is left, and counts the messages that the broker never got.
func missing(t *testing.T, c contestant, s *stage, want int) int {
	t.Helper()
	c.carry(t, s)
	s.await(t, "nothing is left", func() bool { s.look(); return c.left(t) == 0 })
	return want - len(s.texts())
}

// One transaction that somebody has open, in another database of the same server, stalls the
// default schema: it reads only what is older than every open transaction.
func TestAnOpenTransactionElsewhereStallsNothing(t *testing.T) {
	t.Parallel()
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		c := newLog(t)
		s := newStage()
		c.carry(t, s)
		commit := openElsewhere(t, c.db.DSN)
		c.store(t, spread(3)...)
		seen := c.polls.Load()
		s.await(t, "it has looked ten times", func() bool { s.look(); return c.polls.Load() > seen+10 })
		if len(s.texts()) != 0 {
			t.Error("the stock subscriber is known to wait for a transaction that is open elsewhere, and did not")
		}
		commit()
		s.awaitTaken(t, 3) // so that the wait was for nothing else
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		c := newOurs(t)
		s := newStage()
		c.carry(t, s)
		openElsewhere(t, c.db.DSN)
		c.store(t, spread(3)...)
		s.awaitPublished(t, 3)
	})
}

// openElsewhere holds a transaction with an id open in the server's own database postgres.
func openElsewhere(t *testing.T, dsn string) (commit func()) {
	t.Helper()
	address, err := url.Parse(dsn)
	must(t, err)
	address.Path, address.RawQuery = "/postgres", "sslmode="+address.Query().Get("sslmode")
	conn, err := pgx.Connect(t.Context(), address.String())
	must(t, err)
	_, err = conn.Exec(t.Context(), "BEGIN; SELECT pg_current_xact_id()")
	must(t, err)
	commit = sync.OnceFunc(func() { _ = conn.Close(t.Context()) })
	t.Cleanup(commit)
	return commit
}

// The stock subscriber waits for each acknowledgement before it hands the next message out, and
// more of them wait for each other.
func TestMoreThanOneMessageIsInFlight(t *testing.T) {
	t.Parallel()
	const n = 12
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		for _, forwarders := range []int{1, 3} {
			c, answer := newQueue(t), make(chan struct{})
			s := held(answer)
			c.store(t, spread(n)...)
			for range forwarders {
				c.carry(t, s)
			}
			for i := range n { // an answer only when somebody waits for it
				s.await(t, "one is in flight", func() bool { return s.attempts > i && s.flying > 0 })
				answer <- struct{}{}
			}
			s.awaitTaken(t, n)
			if s.most != 1 {
				t.Errorf("%d stock forwarders had %d messages in flight at once, and are known to have 1", forwarders, s.most)
			}
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		c, answer := newOurs(t), make(chan struct{})
		s := held(answer)
		c.store(t, spread(n)...)
		c.carry(t, s)
		s.await(t, "all are in flight before the first answer", func() bool { return s.flying == n })
		close(answer)
		s.awaitPublished(t, n)
	})
}

// held is a broker that answers one message for each value of the channel.
func held(answer <-chan struct{}) *stage {
	s := newStage()
	s.refuse = func(_ string, msg *message.Message) error {
		select {
		case <-answer:
			return nil
		case <-msg.Context().Done():
			return msg.Context().Err()
		}
	}
	return s
}

// A message that the broker will never take is tried for ever, and everything behind it waits.
func TestAMessageThatIsNeverTakenStopsNobody(t *testing.T) {
	t.Parallel()
	errTooLarge := errors.New("message too large")
	refusing := func() *stage {
		s := newStage()
		s.refuse = func(_ string, msg *message.Message) error {
			if string(msg.Payload) == "huge" {
				return errTooLarge
			}
			return nil
		}
		return s
	}
	records := []outbox.Record{record("ord_1", "a"), record("ord_2", "huge"), record("ord_2", "b"), record("ord_3", "c")}
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		c, s := newQueue(t), refusing()
		c.store(t, records...)
		c.carry(t, s)
		s.await(t, "the bad one was tried ten times", func() bool { return s.attempts > 10 })
		if got := fmt.Sprint(s.texts()); got != "map[ord_1:[a]]" {
			t.Errorf("the stock subscriber is known to stop at a message that is never taken, and sent %s", got)
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		c := newOurs(t, func(c *outbox.Config) {
			c.Permanent = func(err error) bool { return errors.Is(err, errTooLarge) }
		})
		s := refusing()
		c.store(t, records...)
		c.carry(t, s)
		s.awaitPublished(t, 3)
		if got := fmt.Sprint(s.texts()); got != "map[ord_1:[a] ord_2:[b] ord_3:[c]]" || len(s.dead) != 1 {
			t.Errorf("sent %s, given up %v", got, s.dead)
		}
	})
}

// The stock subscriber learns of a commit when it polls, and ours when it happens. Both poll once
// an hour here. Ours is the stock one's clock: what is sent twenty times by one is not sent once by
// the other.
func TestACommitIsSentWithoutAPoll(t *testing.T) {
	t.Parallel()
	theirs, relay := newQueue(t), newOurs(t) // whose relay polls once an hour, as every relay of these tests
	theirs.poll = time.Hour
	onTheirs, onOurs := newStage(), newStage()
	theirs.carry(t, onTheirs)
	relay.carry(t, onOurs)
	onTheirs.await(t, "the stock subscriber has looked once", func() bool { onTheirs.look(); return theirs.idle(t) })
	for i := range 20 {
		theirs.store(t, record("ord_1", fmt.Sprint(i)))
		relay.store(t, record("ord_1", fmt.Sprint(i)))
		onOurs.awaitPublished(t, i+1)
	}
	if n := theirs.left(t); n != 20 || len(onTheirs.texts()) != 0 {
		t.Errorf("the stock subscriber is known to learn of commits by polling alone, and %d of 20 are left", n)
	}
	theirs.poll = 10 * time.Millisecond
	theirs.carry(t, onTheirs)
	onTheirs.awaitTaken(t, 20) // so that they waited for nothing but a poll
}
