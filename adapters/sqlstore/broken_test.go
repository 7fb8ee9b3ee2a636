package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	paymentapp "millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// What PostgreSQL does to a unit of work, and what becomes of it.

func realPostgres(t *testing.T, schema string) *sqldb.DB {
	t.Helper()
	dsn := os.Getenv("TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("TEST_POSTGRES_DSN is not set")
	}
	return adaptertest.Postgres(t, dsn, schema)
}

func mustExec(t *testing.T, db *sqldb.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// trap lets the first unit that inserts into a table meet with something, at its statement or,
// deferred, at its commit. A sequence is not rolled back, so it knows which is the first.
func trap(t *testing.T, db *sqldb.DB, table, when, does string) {
	t.Helper()
	mustExec(t, db, "CREATE SEQUENCE met",
		"CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('met') = 1 THEN "+does+" END IF; RETURN NULL; END $$")
	switch when {
	case "at its statement":
		mustExec(t, db, "CREATE TRIGGER meets AFTER INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION meet()")
	case "at its commit":
		mustExec(t, db, "CREATE CONSTRAINT TRIGGER meets AFTER INSERT ON "+table+" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meet()")
	}
}

// deed is a unit of work of the payment service, and how often it was run.
type deed struct {
	db    *sqldb.DB
	store *Payments
	runs  atomic.Int32
}

func newDeed(db *sqldb.DB) *deed {
	core := newCore(db)
	return &deed{db: db, store: NewPayments(core, NewIntents(core))}
}

func (d *deed) do(ctx context.Context, inside func(tx *paymentTx) error) error {
	return d.store.Do(ctx, func(tx paymentapp.Tx) error {
		d.runs.Add(1)
		p, err := payment.Open("ord_1", money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
		if err != nil {
			return err
		}
		tx.Keep(p)
		if inside != nil {
			mine, ok := tx.(*paymentTx)
			if !ok {
				return errors.New("another transaction")
			}
			if err := inside(mine); err != nil {
				return err
			}
		}
		return tx.Publish(&messages.PaymentFailed{OrderID: "ord_1"})
	})
}

// effects says how often the unit took effect: all of its rows, or none.
func (d *deed) effects(t *testing.T, want int) {
	t.Helper()
	for _, query := range []string{
		"SELECT count(*) FROM payments", "SELECT count(*) FROM outbox", "SELECT count(*) FROM inbox WHERE outcome = 'done'",
	} {
		if n := count(t, d.db, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
}

func delivery(ctx context.Context) context.Context {
	return messages.WithCause(ctx, messages.Cause{Consumer: "payment-service.order.events", MessageID: "m1", CausationID: "m1"})
}

func TestAUnitThatMetAnotherTransactionIsRunAgainAsAWhole(t *testing.T) {
	t.Parallel()
	for code, name := range map[string]string{"40001": "serialization failure", "40P01": "deadlock"} {
		for _, when := range []string{"at its statement", "at its commit"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				d := newDeed(realPostgres(t, "payments"))
				trap(t, d.db, "payments", when, "RAISE EXCEPTION 'met another' USING ERRCODE = '"+code+"';")
				if err := d.do(delivery(t.Context()), nil); err != nil {
					t.Fatal(err)
				}
				if n := d.runs.Load(); n != 2 {
					t.Errorf("it was run %d times", n)
				}
				d.effects(t, 1)
			})
		}
	}
}

func TestTwoUnitsThatLockEachOtherOutBothSucceed(t *testing.T) {
	t.Parallel()
	db := realPostgres(t, "payments")
	stores := []*Payments{newDeed(db).store, newDeed(db).store} // two processes
	for _, id := range []string{"ord_a", "ord_b"} {
		if err := stores[0].Do(t.Context(), func(tx paymentapp.Tx) error {
			p, err := payment.Open(id, money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
			if err == nil {
				tx.Keep(p)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var transactions sync.Map
	holding := map[string]chan struct{}{"ord_a": make(chan struct{}), "ord_b": make(chan struct{})}
	cross := func(store *Payments, first, second string) error {
		var once sync.Once
		return store.Do(t.Context(), func(tx paymentapp.Tx) error {
			if mine, ok := tx.(*paymentTx); ok {
				transactions.Store(mine.tx, true)
			}
			if _, err := tx.Payments(t.Context(), first); err != nil {
				return err
			}
			once.Do(func() { close(holding[first]) })
			select {
			case <-holding[second]: // the other one has its first lock: now each waits for the other
			case <-t.Context().Done():
			}
			known, err := tx.Payments(t.Context(), second)
			if err != nil {
				return err
			}
			known[second].Undo()
			tx.Keep(known[second])
			return nil
		})
	}
	var both sync.WaitGroup
	both.Go(func() {
		if err := cross(stores[0], "ord_a", "ord_b"); err != nil {
			t.Error(err)
		}
	})
	both.Go(func() {
		if err := cross(stores[1], "ord_b", "ord_a"); err != nil {
			t.Error(err)
		}
	})
	both.Wait()
	n := 0
	transactions.Range(func(any, any) bool { n++; return true })
	if n < 3 {
		t.Errorf("%d transactions: nobody was sent back, so there was no deadlock", n)
	}
	if n := count(t, db, "SELECT count(*) FROM payments WHERE state = 'undoing'"); n != 2 {
		t.Errorf("%d of two units took effect", n)
	}
}

func TestAUnitThatMeetsOthersForEverIsGivenBackAsAConflict(t *testing.T) {
	t.Parallel()
	d := newDeed(realPostgres(t, "payments"))
	err := d.do(delivery(t.Context()), func(*paymentTx) error { return sqldb.ErrRetry })
	if fault.KindOf(err) != fault.Conflict || d.runs.Load() != attempts {
		t.Errorf("after %d runs: %v", d.runs.Load(), err)
	}
	d.effects(t, 0)
}

func TestAConnectionThatDropsLeavesNothingAndTheMessageIsTriedAgain(t *testing.T) {
	t.Parallel()
	kill := func(d *deed) func(tx *paymentTx) error {
		return func(tx *paymentTx) error {
			if d.runs.Load() > 1 {
				return nil
			}
			var pids []int
			if err := tx.tx.SelectContext(tx.ctx, &pids, "SELECT pg_backend_pid()"); err != nil {
				return err
			}
			_, err := d.db.ExecContext(tx.ctx, "SELECT pg_terminate_backend($1, 5000)", pids[0])
			return err
		}
	}
	const terminate = "PERFORM pg_terminate_backend(pg_backend_pid());"
	for name, c := range map[string]struct {
		inside func(*deed) func(*paymentTx) error
		when   string
	}{
		"after its inbox row, before a read": {inside: func(d *deed) func(*paymentTx) error {
			return func(tx *paymentTx) error {
				if err := kill(d)(tx); err != nil {
					return err
				}
				_, err := tx.Payments(tx.ctx, "ord_9")
				return err
			}
		}},
		"before what it staged is written": {inside: kill},
		"while it is written":              {when: "at its statement"},
		"during its commit":                {when: "at its commit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeed(realPostgres(t, "payments"))
			var inside func(*paymentTx) error
			if c.inside != nil {
				inside = c.inside(d)
			}
			if c.when != "" {
				trap(t, d.db, "payments", c.when, terminate)
			}
			err := d.do(delivery(t.Context()), inside)
			if fault.KindOf(err) != fault.Unavailable {
				t.Fatalf("it ended with %v", err)
			}
			d.effects(t, 0)
			if err := d.do(delivery(t.Context()), inside); err != nil {
				t.Fatalf("tried again: %v", err)
			}
			d.effects(t, 1)
		})
	}
}

func TestACommitWhoseAnswerIsLostTookEffectOnce(t *testing.T) {
	t.Parallel()
	through := behindWire(t, realPostgres(t, "payments"))
	d := newDeed(through.db)
	through.loseTheNextCommit()
	err := d.do(delivery(t.Context()), nil)
	if fault.KindOf(err) != fault.Unavailable || d.runs.Load() != 1 {
		t.Fatalf("nobody can know what became of it, and after %d runs it says %v", d.runs.Load(), err)
	}
	d.effects(t, 1)
	if err := d.do(delivery(t.Context()), nil); err != nil {
		t.Fatalf("tried again, its inbox row should have told: %v", err)
	}
	if n := d.runs.Load(); n != 1 {
		t.Errorf("it was run %d times", n)
	}
	d.effects(t, 1)
}

func TestARequestWhoseCommitIsLostIsTold503AndItsKeyFindsTheOrder(t *testing.T) {
	t.Parallel()
	through := behindWire(t, realPostgres(t, "orders"))
	place := newPlace(t, newCore(through.db))
	keyed := wish
	keyed.Key, keyed.Hash = "key-1", "hash"
	for _, request := range []orderapp.Request{keyed, wish} {
		through.loseTheNextCommit()
		if _, err := place.Handle(t.Context(), request); fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("nobody can know whether the order is there, and the answer is %v", err)
		}
	}
	again, err := place.Handle(t.Context(), keyed)
	if err != nil || !again.Replayed {
		t.Fatalf("sent again with its key: %+v, %v", again, err)
	}
	if n := count(t, through.db, "SELECT count(*) FROM orders WHERE id = ?", again.OrderID); n != 1 {
		t.Error("the order that the key names is not there")
	}
	if n := count(t, through.db, "SELECT count(*) FROM orders"); n != 2 { // without a key a second try would be a second order
		t.Errorf("%d orders of two requests", n)
	}
}

// wire is a database behind a proxy that can lose the answer to a commit.
type wire struct {
	db    *sqldb.DB
	armed atomic.Bool
}

func (w *wire) loseTheNextCommit() { w.armed.Store(true) }

func behindWire(t *testing.T, direct *sqldb.DB) *wire {
	t.Helper()
	address, err := url.Parse(direct.DSN)
	if err != nil {
		t.Fatal(err)
	}
	server := address.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { w.carry(t, client, server) })
		}
	})
	address.Host = l.Addr().String()
	if w.db, err = sqldb.OpenPostgresDSN(address.String(), direct.Name, 4); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	return w
}

// carry passes bytes on until one side hangs up. An armed wire hangs up on the client when the
// server has answered a commit.
func (w *wire) carry(t *testing.T, client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = client.Close(); _ = server.Close() }()
	var committing atomic.Bool
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit")) && w.armed.CompareAndSwap(true, false) {
				committing.Store(true)
			}
			if _, werr := server.Write(buffer[:n]); err != nil || werr != nil {
				_ = server.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || committing.Load() { // the server has committed, and the client will never hear of it
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestAnSQLiteFileThatAnotherProcessWritesIsUnavailableUntilItLetsGo(t *testing.T) {
	t.Parallel()
	d := newDeed(adaptertest.SQLite(t, "payments"))
	mustExec(t, d.db, "PRAGMA busy_timeout = 50")
	other, err := sqldb.OpenSQLite(t.Context(), d.db.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	rival, err := other.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.do(delivery(t.Context()), nil); !errors.Is(err, sqldb.ErrBusy) || d.runs.Load() != 0 {
		t.Errorf("beside a writer: %v, %d runs", err, d.runs.Load())
	}
	if err := rival.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := d.do(delivery(t.Context()), nil); err != nil {
		t.Fatal(err)
	}
	d.effects(t, 1)
}

func TestADatabaseThatIsAwayOpensItsCircuitAndItsReturnClosesIt(t *testing.T) {
	t.Parallel()
	address, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = address.Close() // nobody listens there
	away, err := sqldb.OpenPostgresDSN("postgres://nobody@"+address.Addr().String()+"/none?sslmode=disable&connect_timeout=5", "none", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = away.Close() })
	back := adaptertest.SQLite(t, "payments")
	heard := make(chan string, 10)
	core := newCore(away)
	core.Circuit = sqldb.NewCircuit(sqldb.CircuitConfig{Pause: 20 * time.Millisecond, OnState: func(s string) { heard <- s }})
	d := &deed{db: back, store: NewPayments(core, NewIntents(core))}
	for range 5 {
		if err := d.do(delivery(t.Context()), nil); !errors.Is(err, sqldb.ErrAway) {
			t.Fatalf("a database that is away gives %v", err)
		}
	}
	if state := <-heard; state != "open" {
		t.Fatalf("after five failures it said %s", state)
	}
	core.DB = back
	core.Outbox = newCore(back).Outbox
	inside, leave, err := core.Circuit.Enter(delivery(t.Context())) // waits until it may be the probe
	if err != nil {
		t.Fatal(err)
	}
	err = d.do(inside, nil)
	leave(err)
	if err != nil {
		t.Fatal(err)
	}
	d.effects(t, 1)
	if half, closed := <-heard, <-heard; half != "half-open" || closed != "closed" {
		t.Errorf("it said %s, %s", half, closed)
	}
}
