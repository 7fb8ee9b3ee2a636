package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

func TestOfTwoRelaysOneIsActiveAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	db := postgres(t)
	first, second := newStage(), newStage()
	write(t, db, record("ord_1", "one"))
	_, endFirst := start(t, db, first)
	first.awaitPublished(t, 1) // so the first leads

	standby, _ := start(t, db, second)
	for i := range 10 {
		write(t, db, spread(3)...)
		standby.Wake() // a commit beside the relay that stands by reaches the one that leads
		first.awaitPublished(t, 1+3*(i+1))
	}
	if second.attempts != 0 {
		t.Fatalf("the relay that stands by sent %d messages", second.attempts)
	}

	endFirst()
	write(t, db, spread(5)...)
	standby.Wake()
	second.awaitPublished(t, 5)
	if len(first.taken) != 31 || len(second.taken) != 5 {
		t.Errorf("the first sent %d, the second %d; want 31 and 5", len(first.taken), len(second.taken))
	}
}

func TestARelayHoldsItsPlaceUntilWhatIsInFlightIsDone(t *testing.T) {
	t.Parallel()
	db := postgres(t)
	rival := connect(t, db)
	s := newStage()
	early := true
	s.refuse = func(_ string, msg *message.Message) error {
		<-msg.Context().Done() // until the grace time is over
		early = tryLock(t, rival, db.Name)
		return msg.Context().Err()
	}
	write(t, db, record("ord_1", "one"))
	_, end := start(t, db, s, func(c *outbox.Config) { c.Grace = 300 * time.Millisecond })
	s.await(t, "one is in flight", func() bool { return s.flying == 1 })
	end()
	if early {
		t.Error("another could have taken over with a message in flight")
	}
	_, err := rival.Exec(t.Context(), "SELECT pg_advisory_lock($1)", outbox.LockKey(db.Name)) // and now it can
	must(t, err)
}

func TestARelayThatLosesItsConnectionStopsAndComesBack(t *testing.T) {
	t.Parallel()
	db := postgres(t)
	s := newStage()
	write(t, db, record("ord_1", "before"))
	relay, _ := start(t, db, s)
	s.awaitPublished(t, 1)

	rival := connect(t, db)
	_, err := rival.Exec(t.Context(), `LISTEN "outbox_`+db.Name+`"`)
	must(t, err)
	var ended int
	must(t, db.GetContext(t.Context(), &ended, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks
		WHERE locktype = 'advisory' AND ((classid::bigint << 32) | objid::bigint) = $1`, outbox.LockKey(db.Name)))
	if ended != 1 {
		t.Fatalf("%d connections held the lock, want 1", ended)
	}
	_, err = rival.Exec(t.Context(), "SELECT pg_advisory_lock($1)", outbox.LockKey(db.Name))
	must(t, err)
	s.await(t, "the relay stands down", func() bool { return s.reports == 1 && s.pending == 0 })

	write(t, db, record("ord_1", "after"))
	relay.Wake()
	_, err = rival.WaitForNotification(t.Context()) // it is back, stands by, and tells us of the commit
	must(t, err)
	if got := s.texts()["ord_1"]; len(got) != 1 {
		t.Fatalf("without its place it sent %v", got)
	}
	must(t, rival.Close(t.Context()))
	s.awaitPublished(t, 2)
	if got := s.texts()["ord_1"]; len(got) != 2 || got[1] != "after" {
		t.Errorf("arrived: %v", got)
	}
}

func connect(t *testing.T, db *sqldb.DB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.DSN)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func tryLock(t *testing.T, conn *pgx.Conn, schema string) bool {
	t.Helper()
	var ours bool
	if err := conn.QueryRow(t.Context(), "SELECT pg_try_advisory_lock($1)", outbox.LockKey(schema)).Scan(&ours); err != nil {
		t.Error(err)
	}
	return ours
}
