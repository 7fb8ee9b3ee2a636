package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/plan"
)

const (
	consumers = "test." + messages.PaymentEvents
	other     = "test." + messages.InventoryCommands
)

var errBroken = fault.New(fault.Invalid, "broken_shelf", "the shelf is broken")

// line is a service with one handler, whose effect is a message that it publishes: the outbox shows
// what took effect, and in which order.
type line struct {
	db      *sqldb.DB
	core    *Core
	store   *Inventory
	dead    *DeadLetters
	letters *Letters
	mu      sync.Mutex
	broken  map[string]bool // messages that are refused
	sent    int64           // last redrive that was delivered
}

func newLine(db *sqldb.DB) *line {
	core := newCore(db)
	return &line{
		db: db, core: core, store: NewInventory(core), dead: NewDeadLetters(core), broken: map[string]bool{},
		letters: NewLetters(map[string]*Core{"test": core}, nil),
	}
}

// eachLine runs a test on a line of its own on every database.
func eachLine(t *testing.T, test func(t *testing.T, l *line)) {
	t.Helper()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		test(t, newLine(open(t)))
	})
}

func (l *line) refuse(messageID string, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[messageID] = yes
}

// inHand is a record in the hands of the line.
type inHand struct {
	letter messages.DeadLetter
	parked bool
}

func (d *inHand) Letter() messages.DeadLetter { return d.letter }
func (d *inHand) Parked()                     { d.parked = true }

func letterOf(consumer, orderID, messageID string) messages.DeadLetter {
	return messages.DeadLetter{
		ID: consumer + "/" + messageID, MessageID: messageID, OrderID: orderID, Service: "test", Consumer: consumer, Handler: "reserve_stock",
		Type: "PaymentSucceeded", Topic: messages.PaymentEvents, Partition: 3, Offset: 17, Key: []byte(orderID), Payload: []byte(messageID),
		Headers: map[string]string{"eventId": messageID}, Reason: errBroken.Code, Error: "why", Attempts: 1, FirstAt: time.Now(), LastAt: time.Now(),
	}
}

// deliver handles a message as a consumer does, and makes a dead letter of it when it is refused.
func (l *line) deliver(ctx context.Context, consumer, orderID, messageID string, again *messages.Redrive) (string, error) {
	d := &inHand{letter: letterOf(consumer, orderID, messageID)}
	d.letter.Redrive = again
	cause := messages.WithCause(ctx, messages.Cause{
		Consumer: consumer, MessageID: messageID, CorrelationID: orderID, Handler: "reserve_stock", Delivery: d, Redrive: again,
	})
	ran := false
	err := l.store.Do(cause, func(tx inventoryapp.Tx) error {
		ran = true
		l.mu.Lock()
		broken := l.broken[messageID]
		l.mu.Unlock()
		if err := tx.Publish(&messages.InventoryReserved{OrderID: cmp.Or(orderID, "none"), Warehouse: messageID}); err != nil || !broken {
			return err
		}
		return errBroken
	})
	switch {
	case errors.Is(err, errBroken):
		return "dead", l.dead.Keep(ctx, d.letter)
	case err != nil:
		return "", err
	case d.parked:
		return "parked", nil
	case !ran:
		return "duplicate", nil
	}
	return "done", nil
}

func (l *line) want(t *testing.T, want, orderID, messageID string) {
	t.Helper()
	if got, err := l.deliver(t.Context(), consumers, orderID, messageID, nil); err != nil || got != want {
		t.Errorf("%s of %s was %s, %v; want %s", messageID, orderID, got, err, want)
	}
}

type outboxRow struct {
	Seq     int64  `db:"seq"`
	ID      string `db:"id"`
	Order   string `db:"aggregate_id"`
	Topic   string `db:"topic"`
	Payload []byte `db:"payload"`
	Headers string `db:"headers"`
}

func (l *line) outbox(t *testing.T, topic string, after int64) []outboxRow {
	t.Helper()
	var rows []outboxRow
	query := l.db.Rebind("SELECT seq, id, aggregate_id, topic, payload, headers FROM outbox WHERE topic = ? AND seq > ? ORDER BY seq")
	if err := l.db.SelectContext(t.Context(), &rows, query, topic, after); err != nil {
		t.Fatal(err)
	}
	return rows
}

// resend delivers what was sent to the redrive topic since the last time, until nothing more comes,
// and gives what became of each.
func (l *line) resend(t *testing.T) []string {
	t.Helper()
	var outcomes []string
	for {
		rows := l.outbox(t, messages.RedriveTopic("test"), l.sent)
		if len(rows) == 0 {
			return outcomes
		}
		for _, row := range rows {
			l.sent = row.Seq
			outcomes = append(outcomes, l.redeliver(t, row))
		}
	}
}

func (l *line) redeliver(t *testing.T, row outboxRow) string {
	t.Helper()
	headers := map[string]string{}
	if err := json.Unmarshal([]byte(row.Headers), &headers); err != nil {
		t.Fatal(err)
	}
	r, ok := messages.RedriveOf(headers)
	if !ok || string(row.Payload) != r.MessageID || headers["eventId"] != r.MessageID || headers["correlationId"] != row.Order && headers["correlationId"] != "" ||
		r.Handler != "reserve_stock" || r.Topic != messages.PaymentEvents || r.Partition != 3 || r.Offset != 17 {
		t.Errorf("sent again is %q with %s", row.Payload, row.Headers)
	}
	outcome, err := l.deliver(t.Context(), r.Consumer, string(r.Key), r.MessageID, &r)
	if err != nil {
		t.Error(err)
	}
	return r.MessageID + " " + outcome
}

// effects are the messages of an order that took effect, in order.
func (l *line) effects(t *testing.T, orderID string) []string {
	t.Helper()
	var ids []string
	for _, row := range l.outbox(t, messages.InventoryEvents, 0) {
		var e struct{ Data messages.InventoryReserved }
		if err := json.Unmarshal(row.Payload, &e); err != nil {
			t.Fatal(err)
		}
		if row.Order == orderID {
			ids = append(ids, e.Data.Warehouse)
		}
	}
	return ids
}

func (l *line) item(t *testing.T, messageID string) deadletters.Item {
	t.Helper()
	w, err := l.letters.Show(t.Context(), consumers+"/"+messageID)
	if err != nil {
		t.Fatal(err)
	}
	return deadletters.Item{ID: w.ID, Version: w.Version, Service: w.Service, Consumer: w.Consumer, OrderID: w.OrderID, Position: w.Position, Redrives: w.Redrives}
}

var maya = plan.Attribution{Actor: "maya", Reason: "mended"}

func (l *line) redrive(t *testing.T, messageID string) {
	t.Helper()
	if err := l.letters.Redrive(t.Context(), l.item(t, messageID), maya); err != nil {
		t.Fatal(err)
	}
}

// settled: nothing waits, and the inbox calls everything done that took effect.
func (l *line) settled(t *testing.T, done int) {
	t.Helper()
	for query, want := range map[string]int{
		"SELECT count(*) FROM held_orders":                            0,
		"SELECT count(*) FROM dead_letters WHERE " + open:             0,
		"SELECT count(*) FROM inbox WHERE outcome = 'done'":           done,
		"SELECT count(*) FROM inbox WHERE outcome IN ('parked', 'x')": 0,
	} {
		if n := count(t, l.db, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
}

func TestLaterMessagesOfAnOrderWaitBehindItsDeadLetterAndOthersFlow(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "done", "ord_1", "m0")
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "parked", "ord_1", "m3")
		l.want(t, "done", "ord_2", "n1")
		l.want(t, "duplicate", "ord_1", "m0")
		l.want(t, "duplicate", "ord_1", "m1")
		l.want(t, "duplicate", "ord_1", "m2")
		if got, err := l.deliver(t.Context(), other, "ord_1", "m2", nil); err != nil || got != "done" {
			t.Errorf("at another consumer it was %s, %v", got, err)
		}
		w, err := l.letters.Show(t.Context(), consumers+"/m1")
		if err != nil || w.State != "waiting" || w.Parked != 2 || len(w.Behind) != 2 {
			t.Errorf("the dead letter is %+v, %v", w, err)
		}
		p, err := l.letters.Show(t.Context(), consumers+"/m2")
		if err != nil || p.State != "parked" || string(p.Payload) != "m2" || p.Headers["eventId"] != "m2" || p.Topic != messages.PaymentEvents ||
			p.Partition != 3 || p.Offset != 17 || string(p.Key) != "ord_1" || p.Reason != "" || p.Attempts != 0 {
			t.Errorf("the parked message is %+v, %v", p, err)
		}
		if n := count(t, l.db, "SELECT count(*) FROM inbox WHERE outcome = 'parked'"); n != 2 {
			t.Errorf("the inbox has %d parked messages", n)
		}
		waiting, parked, err := l.dead.Waiting(t.Context())
		if err != nil || waiting["reserve_stock"] != 1 || parked["reserve_stock"] != 2 {
			t.Errorf("waiting %v, parked %v, %v", waiting, parked, err)
		}
	})
}

func TestARedriveTakesEffectInSequenceAndLetsTheOrderGo(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "parked", "ord_1", "m3")
		l.refuse("m1", false)
		l.redrive(t, "m1")
		l.want(t, "parked", "ord_1", "m4") // it comes while the redrive is under way
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done", "m2 done", "m3 done", "m4 done"}) {
			t.Errorf("sent again: %v", got)
		}
		l.want(t, "done", "ord_1", "m5")
		if got := l.effects(t, "ord_1"); !slices.Equal(got, []string{"m1", "m2", "m3", "m4", "m5"}) {
			t.Errorf("effects %v", got)
		}
		l.settled(t, 5)
		p, err := l.letters.Progress(t.Context(), "test", []string{consumers + "/m1", consumers + "/m2", "nobody"})
		if err != nil || len(p) != 2 || !p[consumers+"/m1"].Handled || !p[consumers+"/m2"].Handled {
			t.Errorf("progress %+v, %v", p, err)
		}
		if one, two := l.item(t, "m1").Redrives, l.item(t, "m2").Redrives; one != 1 || two != 0 {
			t.Errorf("m1 was redriven %d times, m2, which only waited, %d times", one, two)
		}
		w, err := l.letters.Show(t.Context(), consumers+"/m1")
		if err != nil || len(w.Log) != 3 || w.Log[1].Act != "redrive" || w.Log[1].Actor != "maya" || w.Log[1].Reason != "mended" {
			t.Errorf("its history is %+v, %v", w.Log, err)
		}
	})
}

func TestWhatIsSentAgainTwiceOrTooLateHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.redrive(t, "m1")
		first := l.outbox(t, messages.RedriveTopic("test"), 0)[0]
		if got := l.resend(t); !slices.Equal(got, []string{"m1 dead"}) {
			t.Fatalf("sent again: %v", got)
		}
		l.refuse("m1", false)
		if got := l.redeliver(t, first); got != "m1 duplicate" {
			t.Errorf("a copy of the first redrive: %s", got)
		}
		l.redrive(t, "m1")
		rows := l.outbox(t, messages.RedriveTopic("test"), l.sent)
		if got := l.redeliver(t, first); got != "m1 duplicate" {
			t.Errorf("a copy of the first redrive, after the second: %s", got)
		}
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done", "m2 done"}) {
			t.Errorf("sent again: %v", got)
		}
		if got := l.redeliver(t, rows[0]); got != "m1 duplicate" {
			t.Errorf("a copy of the second redrive: %s", got)
		}
		l.refuse("m1", true) // a copy that fails now makes no dead letter of what took effect
		if got := l.redeliver(t, rows[0]); got != "m1 duplicate" {
			t.Errorf("a copy of the second redrive: %s", got)
		}
		if got := l.effects(t, "ord_1"); !slices.Equal(got, []string{"m1", "m2"}) {
			t.Errorf("effects %v", got)
		}
		l.settled(t, 2)
	})
}

func TestWhatFailsAgainGoesBackToItsPlaceAndThoseBehindStayParked(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.refuse("m2", true)
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "parked", "ord_1", "m3")
		l.redrive(t, "m1")
		if got := l.resend(t); !slices.Equal(got, []string{"m1 dead"}) {
			t.Fatalf("sent again: %v", got)
		}
		if i := l.item(t, "m1"); i.Redrives != 1 || i.Version != 3 || i.Position != 1 {
			t.Errorf("it is %+v", i)
		}
		l.want(t, "duplicate", "ord_1", "m1")
		l.refuse("m1", false)
		l.redrive(t, "m1")
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done", "m2 dead"}) { // one that was parked fails itself
			t.Fatalf("sent again: %v", got)
		}
		l.want(t, "parked", "ord_1", "m4")
		if err := l.letters.Redrive(t.Context(), l.item(t, "m3"), maya); !errors.Is(err, deadletters.ErrBehind) {
			t.Errorf("one behind was sent first: %v", err)
		}
		l.refuse("m2", false)
		l.redrive(t, "m2")
		if got := l.resend(t); !slices.Equal(got, []string{"m2 done", "m3 done", "m4 done"}) {
			t.Errorf("sent again: %v", got)
		}
		if n := len(l.outbox(t, messages.DeadLetters("test"), 0)); n != 3 {
			t.Errorf("%d copies of dead letters, want 3", n)
		}
		l.settled(t, 4)
	})
}

func TestADiscardKeepsTheLetterAndFreesThoseBehind(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		planned := l.item(t, "m1")
		if err := l.letters.Discard(t.Context(), planned, maya); err != nil {
			t.Fatal(err)
		}
		for _, act := range []func(context.Context, deadletters.Item, plan.Attribution) error{l.letters.Discard, l.letters.Redrive} {
			if err := act(t.Context(), planned, maya); !errors.Is(err, deadletters.ErrChanged) {
				t.Errorf("it was dealt with twice: %v", err)
			}
			if err := act(t.Context(), l.item(t, "m1"), maya); !errors.Is(err, deadletters.ErrBehind) && !errors.Is(err, deadletters.ErrChanged) {
				t.Errorf("a discarded letter was dealt with: %v", err)
			}
		}
		if got := l.resend(t); !slices.Equal(got, []string{"m2 done"}) {
			t.Errorf("sent again: %v", got)
		}
		l.want(t, "duplicate", "ord_1", "m1")
		l.settled(t, 1)
		w, err := l.letters.Show(t.Context(), consumers+"/m1")
		if err != nil || w.State != "discarded" || string(w.Payload) != "m1" || w.Log[1] != (deadletters.Line{At: w.Log[1].At, Act: "discard", Actor: "maya", Reason: "mended"}) {
			t.Errorf("it is %+v, %v", w, err)
		}
	})
}

func TestWorkThatIsTakenBackMovesNoSequence(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.redrive(t, "m1")
		row := l.outbox(t, messages.RedriveTopic("test"), 0)[0]
		headers := map[string]string{}
		if err := json.Unmarshal([]byte(row.Headers), &headers); err != nil {
			t.Fatal(err)
		}
		r, _ := messages.RedriveOf(headers)
		cause := messages.WithCause(t.Context(), messages.Cause{Consumer: consumers, MessageID: "m1", CorrelationID: "ord_1", Redrive: &r})
		if err := l.store.Do(cause, func(inventoryapp.Tx) error { return errBroken }); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if i := l.item(t, "m1"); i.Version != 2 {
			t.Errorf("it moved on: %+v", i)
		}
		l.refuse("m1", false)
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done", "m2 done"}) {
			t.Errorf("sent again: %v", got)
		}
		l.settled(t, 2)
	})
}

func TestAMessageThatWasHandledMeanwhileHoldsNothing(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.want(t, "done", "ord_1", "m1") // by the member that was given its partition
		if err := l.dead.Keep(t.Context(), letterOf(consumers, "ord_1", "m1")); err != nil {
			t.Fatal(err)
		}
		l.want(t, "done", "ord_1", "m2")
		if n := count(t, l.db, "SELECT count(*) FROM dead_letters"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		l.settled(t, 2)
	})
}

func TestALetterWithoutAnOrderHoldsNobody(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "", "m1")
		l.want(t, "done", "", "m2")
		l.want(t, "done", "ord_1", "m3")
		l.refuse("m1", false)
		l.redrive(t, "m1")
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done"}) {
			t.Errorf("sent again: %v", got)
		}
		l.settled(t, 3)
	})
}

// remembered is what Redis would remember.
type remembered struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (r *remembered) Seen(_ context.Context, causes []messages.Cause) []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make([]bool, len(causes))
	for i, c := range causes {
		seen[i] = r.keys[c.Consumer+c.MessageID]
	}
	return seen
}

func (r *remembered) Mark(causes []messages.Cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range causes {
		r.keys[c.Consumer+c.MessageID] = true
	}
}

func TestWhatWasNotHandledIsNotMarkedAndARedriveAsksNoMarks(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		marks := &remembered{keys: map[string]bool{}}
		l.core.Marks = marks
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		for range 2 {
			_, _ = l.deliver(t.Context(), consumers, "ord_1", "m1", nil)
			_, _ = l.deliver(t.Context(), consumers, "ord_1", "m2", nil)
		}
		if len(marks.keys) != 0 {
			t.Errorf("marked are %v", marks.keys)
		}
		l.redrive(t, "m1")
		stale := l.outbox(t, messages.RedriveTopic("test"), 0)[0]
		l.resend(t)
		if got := l.redeliver(t, stale); got != "m1 duplicate" || len(marks.keys) != 0 {
			t.Errorf("a late copy was %s, marked are %v", got, marks.keys)
		}
		marks.keys[consumers+"m1"] = true // by whatever mistake
		l.refuse("m1", false)
		l.redrive(t, "m1")
		if got := l.resend(t); !slices.Equal(got, []string{"m1 done", "m2 done"}) {
			t.Errorf("sent again: %v", got)
		}
		if !marks.keys[consumers+"m2"] {
			t.Error("what was handled is not marked")
		}
	})
}

// One consumer delivers an order's messages one after the other, while another goroutine redrives.
// Whether a message is parked or handled at once, none overtakes and none is forgotten.
func TestNoMessageSlipsPastARedriveThatEnds(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		const n = 60
		l.refuse("m000", true)
		l.want(t, "dead", "ord_1", "m000")
		l.refuse("m000", false)
		l.redrive(t, "m000")
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("m%03d", i))
		}
		outcomes := map[string]int{}
		var feeding sync.WaitGroup
		fed := make(chan struct{})
		feeding.Go(func() {
			defer close(fed)
			for _, id := range want[1:] {
				got, err := l.deliver(t.Context(), consumers, "ord_1", id, nil)
				if err != nil {
					t.Error(err)
				}
				outcomes[got]++
			}
		})
		for over := false; !over; {
			select {
			case <-fed:
				over = true
			default:
			}
			l.resend(t)
		}
		feeding.Wait()
		l.resend(t)
		if got := l.effects(t, "ord_1"); !slices.Equal(got, want) {
			t.Errorf("effects %v", got)
		}
		if outcomes["parked"]+outcomes["done"] != n-1 {
			t.Errorf("outcomes %v", outcomes)
		}
		l.settled(t, n)
	})
}

// A redrive takes the lock of its held order, and then what its handler touches. A message of the order that comes
// meanwhile has to wait for the former before it locks the latter, or each would wait for the other.
func TestAMessageOfAHeldOrderWaitsBeforeItLocksAnything(t *testing.T) {
	t.Parallel()
	l := newLine(realPostgres(t, "inventory"))
	l.refuse("m0", true)
	l.want(t, "dead", "ord_1", "m0")
	mustExec(t, l.db, "INSERT INTO reservations (order_id, state, lines, created_at, updated_at) VALUES ('ord_1', 'reserved', '[]', now(), now())")
	redrive, err := l.db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = redrive.Rollback() }()
	if _, err := redrive.ExecContext(t.Context(), "SELECT FROM held_orders WHERE order_id = 'ord_1' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var coming sync.WaitGroup
	defer coming.Wait()
	coming.Go(func() { l.want(t, "parked", "ord_1", "m1") })
	const waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'tuple' AND relation = 'held_orders'::regclass"
	for late := time.Now().Add(time.Second); count(t, l.db, waiting) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nobody waits for the held order")
		}
	}
	if _, err := redrive.ExecContext(t.Context(), "SELECT FROM reservations WHERE order_id = 'ord_1' FOR UPDATE NOWAIT"); err != nil {
		t.Errorf("the message that waits has locked what the redrive needs: %v", err)
	}
	if err := redrive.Rollback(); err != nil {
		t.Error(err)
	}
}

func TestTheInboxAnswersASetOfClaims(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "done", "ord_2", "n1")
		var members []*member
		for _, asked := range [][3]string{
			{consumers, "n2", "ord_2"}, {consumers, "m3", "ord_1"}, {consumers, "n1", "ord_2"}, {consumers, "m2", "ord_1"},
			{other, "m3", "ord_1"}, {consumers, "m4", "ord_1"}, {consumers, "m1", "ord_1"},
		} {
			members = append(members, newMember(messages.WithCause(t.Context(), messages.Cause{
				Consumer: asked[0], MessageID: asked[1], CorrelationID: asked[2], Delivery: &inHand{letter: letterOf(asked[0], asked[2], asked[1])},
			}), nil))
		}
		b := l.core.newBatch(t.Context())
		var fresh []*member
		err := l.db.InBatchTx(t.Context(), func(tx *sqldb.Tx) (err error) {
			b.tx = tx
			fresh, err = b.claim(members)
			return err
		})
		var got []string
		for _, m := range members {
			switch {
			case m.parked:
				got = append(got, fmt.Sprintf("%s parked at %d", m.cause.MessageID, m.unit.staged[0].rows[0][19]))
			case m.left:
				got = append(got, m.cause.MessageID+" left")
			case m.duplicate:
				got = append(got, m.cause.MessageID+" done")
			case slices.Contains(fresh, m):
				got = append(got, m.cause.MessageID+" claimed")
			}
		}
		want := "n2 claimed, m3 parked at 3, n1 done, m2 left, m3 claimed, m4 parked at 4, m1 left"
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("answers %v, want %s: %v", got, want, err)
		}
	})
}

func TestInboxRowsOfWhatWaitsOutliveTheirRetention(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "done", "ord_2", "n1")
		if n, err := l.core.PurgeInbox(t.Context(), -time.Hour); err != nil || n != 1 {
			t.Errorf("%d rows were purged, %v", n, err)
		}
		l.want(t, "duplicate", "ord_1", "m1")
		l.want(t, "duplicate", "ord_1", "m2")
	})
}

func TestLettersAreChosenByEveryWordOfAFilter(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.refuse("n1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.want(t, "dead", "ord_2", "n1")
		now := time.Now()
		for i, c := range []struct {
			filter deadletters.Filter
			want   int
		}{
			{deadletters.Filter{}, 3},
			{deadletters.Filter{State: "waiting"}, 2},
			{deadletters.Filter{State: "parked", OrderID: "ord_1"}, 1},
			{deadletters.Filter{OrderID: "ord_2", Handler: "reserve_stock", Reason: errBroken.Code, Type: "PaymentSucceeded", Service: "test"}, 1},
			{deadletters.Filter{Service: "payment-service"}, 0},
			{deadletters.Filter{Since: now.Add(time.Hour)}, 0},
			{deadletters.Filter{Since: now.Add(-time.Hour), Until: now.Add(time.Hour), ID: consumers + "/m1"}, 1},
			{deadletters.Filter{Until: now.Add(-time.Hour)}, 0},
		} {
			found, err := l.letters.List(t.Context(), c.filter)
			if err != nil || len(found) != c.want {
				t.Errorf("filter %d gives %+v, %v", i, found, err)
			}
		}
		found, err := l.letters.List(t.Context(), deadletters.Filter{ID: consumers + "/m1"})
		if err != nil || found[0].Parked != 1 || found[0].FirstAt.IsZero() {
			t.Errorf("%+v, %v", found, err)
		}
		if _, err := l.letters.Show(t.Context(), "nobody"); !errors.Is(err, deadletters.ErrNoLetter) {
			t.Errorf("a letter that is not there: %v", err)
		}
	})
}

func TestOneRedriveDeliveredManyTimesAtOnceHasOneEffect(t *testing.T) {
	t.Parallel()
	eachLine(t, func(t *testing.T, l *line) {
		l.refuse("m1", true)
		l.want(t, "dead", "ord_1", "m1")
		l.want(t, "parked", "ord_1", "m2")
		l.refuse("m1", false)
		l.redrive(t, "m1")
		row := l.outbox(t, messages.RedriveTopic("test"), 0)[0]
		outcomes := make(chan string, 10)
		var all sync.WaitGroup
		for range cap(outcomes) {
			all.Go(func() { outcomes <- l.redeliver(t, row) })
		}
		all.Wait()
		close(outcomes)
		counted := map[string]int{}
		for o := range outcomes {
			counted[o]++
		}
		if counted["m1 done"] != 1 || counted["m1 duplicate"] != cap(outcomes)-1 {
			t.Errorf("outcomes %v", counted)
		}
		l.sent = row.Seq
		if got := l.resend(t); !slices.Equal(got, []string{"m2 done"}) {
			t.Errorf("sent again: %v", got)
		}
		l.settled(t, 2)
	})
}
