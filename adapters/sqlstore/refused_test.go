package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	notificationapp "millrace/app/notification"
	paymentapp "millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

var errProvider = fault.New(fault.Invalid, "provider_refused", "the payment provider refused the request")

// till is a payment service whose refund of one order was refused for good.
type till struct {
	db      *sqldb.DB
	store   *Payments
	intents *Intents
	letters *Letters
	dead    *DeadLetters
}

func eachTill(t *testing.T, test func(t *testing.T, r *till)) {
	t.Helper()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		intents := NewIntents(core)
		r := &till{db: db, store: NewPayments(core, intents), intents: intents, dead: NewDeadLetters(core)}
		r.letters = NewLetters(map[string]*Core{"test": core}, map[string]Settlement{
			"intent_refund": {paymentapp.Outcomes(intent.Refund), paymentapp.NewSettleByHand(r.store).Handle},
		})
		err := r.store.Do(t.Context(), func(tx paymentapp.Tx) error {
			p, err := payment.Open("ord_1", money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
			if err != nil {
				return err
			}
			p.CaptureSucceeded("pay_1", "auth")
			p.Undo()
			tx.Keep(p)
			tx.Intend(intent.New("ord_1", intent.Refund))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.intents.Bury(t.Context(), (<-r.intents.Committed())[0], errProvider.Because(errors.New("no such capture"))); err != nil {
			t.Fatal(err)
		}
		test(t, r)
	})
}

func (r *till) letter(t *testing.T) deadletters.Whole {
	t.Helper()
	w, err := r.letters.Show(t.Context(), "ord_1:refund")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (r *till) item(t *testing.T) deadletters.Item {
	t.Helper()
	w := r.letter(t)
	return deadletters.Item{ID: w.ID, Version: w.Version, Service: w.Service, Consumer: w.Consumer, Handler: w.Handler, OrderID: w.OrderID}
}

func (r *till) intentIs(t *testing.T, state string) {
	t.Helper()
	if n := count(t, r.db, "SELECT count(*) FROM intents WHERE state = ?", state); n != 1 {
		t.Errorf("the intent is not %s", state)
	}
}

func TestARefusedActIsADeadLetterWithItsCopy(t *testing.T) {
	t.Parallel()
	eachTill(t, func(t *testing.T, r *till) {
		r.intentIs(t, "dead")
		w := r.letter(t)
		if w.State != "waiting" || w.Handler != "intent_refund" || w.Consumer != "intent_refund" || w.OrderID != "ord_1" || w.Type != "refund" ||
			w.Reason != "provider_refused" || w.Error != errProvider.Detail+": no such capture" || w.Attempts != 1 || w.Topic != "" || w.Service != "test" {
			t.Errorf("the letter is %+v", w)
		}
		waiting, _, err := r.dead.Waiting(t.Context())
		if err != nil || waiting["intent_refund"] != 1 {
			t.Errorf("waiting %v, %v", waiting, err)
		}
		if n := count(t, r.db, "SELECT count(*) FROM outbox WHERE topic = 'test.dlq'"); n != 1 {
			t.Errorf("%d copies", n)
		}
		if n := count(t, r.db, "SELECT count(*) FROM held_orders"); n != 0 {
			t.Error("a refused act holds messages")
		}
	})
}

func TestARefusedActIsTriedAgainAndItsLetterEndsWithIt(t *testing.T) {
	t.Parallel()
	eachTill(t, func(t *testing.T, r *till) {
		settle := paymentapp.NewSettleRefund(r.store, r.store, generous{})
		for round := 1; round <= 2; round++ {
			planned := r.item(t)
			if err := r.letters.Redrive(t.Context(), planned, maya); err != nil {
				t.Fatal(err)
			}
			if err := r.letters.Redrive(t.Context(), planned, maya); !errors.Is(err, deadletters.ErrChanged) {
				t.Errorf("one plan was applied twice: %v", err)
			}
			again, err := r.intents.Claim(t.Context(), 10)
			if err != nil || len(again) != 1 || again[0].Buried != round {
				t.Fatalf("claimed %+v, %v", again, err)
			}
			if round == 1 {
				if err := r.intents.Bury(t.Context(), again[0], errProvider); err != nil {
					t.Fatal(err)
				}
				if w := r.letter(t); w.State != "waiting" || w.Redrives != 1 || w.Version != 3 || w.Attempts != 2 {
					t.Errorf("refused again it is %+v", w)
				}
				continue
			}
			if err := settle.Handle(t.Context(), again[0]); err != nil {
				t.Fatal(err)
			}
		}
		r.intentIs(t, "done")
		p, err := r.letters.Progress(t.Context(), "test", []string{"ord_1:refund"})
		if err != nil || !p["ord_1:refund"].Handled || r.letter(t).Redrives != 2 {
			t.Errorf("it is %+v, %+v, %v", p, r.letter(t), err)
		}
		var acts []string
		for _, line := range r.letter(t).Log {
			acts = append(acts, line.Act)
		}
		if got := strings.Join(acts, ", "); got != "refused, redrive, refused, redrive, took effect" {
			t.Errorf("its history is %s", got)
		}
	})
}

func TestAnOperatorSettlesARefusedRefundInOneTransaction(t *testing.T) {
	t.Parallel()
	eachTill(t, func(t *testing.T, r *till) {
		planned := r.item(t)
		for _, wrong := range []string{"captured", ""} {
			if err := r.letters.Settle(t.Context(), planned, wrong, maya); !errors.Is(err, deadletters.ErrUnsettled) {
				t.Errorf("outcome %q: %v", wrong, err)
			}
		}
		if err := r.letters.Settle(t.Context(), planned, "refunded", maya); err != nil {
			t.Fatal(err)
		}
		if err := r.letters.Settle(t.Context(), planned, "refunded", maya); !errors.Is(err, deadletters.ErrChanged) {
			t.Errorf("it was settled twice: %v", err)
		}
		r.intentIs(t, "done")
		var payload []byte
		query := "SELECT payload FROM outbox WHERE event_type = 'PaymentRefunded' AND topic = 'payment.events'"
		if err := r.db.GetContext(t.Context(), &payload, query); err != nil {
			t.Fatal(err)
		}
		var e struct {
			EventID string
			Data    messages.PaymentRefunded
		}
		if err := json.Unmarshal(payload, &e); err != nil || e.Data.Outcome != "refunded" || e.Data.Amount != 100 || *e.Data.PaymentID != "pay_1" ||
			e.EventID != messages.DerivedID("ord_1:refund", "PaymentRefunded", 0) {
			t.Errorf("the world was told %s", payload)
		}
		w := r.letter(t)
		if w.State != "settled" || w.Version != 2 || len(w.Log) != 2 || w.Log[0].Act != "refused" || w.Log[1].Act != "settle refunded" || w.Log[1].Actor != "maya" {
			t.Errorf("the letter is %+v", w)
		}
	})
}

func TestASettlementThatDoesNotFitThePaymentChangesNothing(t *testing.T) {
	t.Parallel()
	eachTill(t, func(t *testing.T, r *till) {
		if _, err := r.db.ExecContext(t.Context(), "UPDATE payments SET state = 'refunded'"); err != nil {
			t.Fatal(err)
		}
		if err := r.letters.Settle(t.Context(), r.item(t), "refunded", maya); !errors.Is(err, paymentapp.ErrNothingToSettle) {
			t.Errorf("it was settled: %v", err)
		}
		r.intentIs(t, "dead")
		if w := r.letter(t); w.State != "waiting" || w.Version != 1 {
			t.Errorf("the letter is %+v", w)
		}
	})
}

func TestADiscardedActIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	eachTill(t, func(t *testing.T, r *till) {
		if err := r.letters.Discard(t.Context(), r.item(t), maya); err != nil {
			t.Fatal(err)
		}
		r.intentIs(t, "discarded")
		version := count(t, r.db, "SELECT version FROM intents")
		for _, ends := range []*table{intentDone, intentClosed} { // whatever else it asks for: such an act is not open
			end := func(u *unit) error {
				if _, err := u.change("UPDATE intents SET buried = 0"); err != nil {
					return err
				}
				row := []any{"ord_1:refund", u.now}
				if ends == intentDone {
					row = []any{"ord_1:refund", version, u.now}
				}
				_, err := u.writeNow(ends, row)
				return err
			}
			if err := r.dead.core.alone(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			r.intentIs(t, "discarded")
		}
		if err := r.intents.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if due, err := r.intents.Claim(t.Context(), 10); err != nil || len(due) != 0 {
			t.Errorf("claimed %v, %v", due, err)
		}
	})
}

func TestAMailThatWasToldByOtherMeansIsSettled(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "notifications", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := newCore(db)
		intents := NewIntents(core)
		store := NewNotifications(core, intents)
		letters := NewLetters(map[string]*Core{"test": core}, map[string]Settlement{
			"intent_mail": {[]string{notificationapp.OutcomeSent}, notificationapp.NewSettleByHand(store).Handle},
		})
		if err := store.Do(t.Context(), func(tx notificationapp.Tx) error {
			tx.Keep(notificationapp.Notice{OrderID: "ord_1", UserID: "usr_1", Status: "CONFIRMED", Total: 1, Currency: "LKR", At: time.Now()})
			tx.Intend(intent.New("ord_1", intent.Mail))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := intents.Bury(t.Context(), (<-intents.Committed())[0], errors.New("550")); err != nil {
			t.Fatal(err)
		}
		item := deadletters.Item{ID: "ord_1:mail", Version: 1, Service: "test", Consumer: "intent_mail", Handler: "intent_mail", OrderID: "ord_1"}
		if err := letters.Settle(t.Context(), item, "sent", maya); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM notices WHERE sent_at IS NOT NULL"); n != 1 {
			t.Error("the notice is not sent")
		}
		if n := count(t, db, "SELECT count(*) FROM intents WHERE state = 'done'"); n != 1 {
			t.Error("the intent is not done")
		}
	})
}

// generous is a provider that pays everything back.
type generous struct{ paymentapp.Provider }

func (generous) Name() string { return "generous" }

func (generous) Refund(context.Context, string, string, money.Amount) error { return nil }

func TestWhatWaitedBeforeTheMigrationWaitsAfterIt(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		for v, err := sqldb.Status(t.Context(), db, "payments"); v.At > 1 || err != nil; v, err = sqldb.Status(t.Context(), db, "payments") {
			if err = errors.Join(err, sqldb.MigrateDown(t.Context(), db, "payments")); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		for query, args := range map[string][]any{
			`INSERT INTO intents (id, order_id, kind, cause, trace_parent, state, version, attempts, due_at, last_error, created_at, updated_at)
				VALUES ('ord_1:refund', 'ord_1', 'refund', '', '', 'dead', 4, 4, ?, 'no', ?, ?)`: {now, now, now},
			`INSERT INTO dead_letters (id, message_id, order_id, service, consumer, handler, type, topic, partition_no, offset_no, headers, reason,
				error, attempts, first_at, last_at) VALUES ('d', 'm1', 'ord_1', 'payment-service', 'c', 'h', 't', 'payment.events', 0, 0, '{}', 'r', 'e', 1, ?, ?)`: {now, now},
		} {
			if _, err := db.ExecContext(t.Context(), db.Rebind(query), args...); err != nil {
				t.Fatal(err)
			}
		}
		if err := sqldb.Migrate(t.Context(), db, "payments"); err != nil {
			t.Fatal(err)
		}
		core := newCore(db)
		letters := NewLetters(map[string]*Core{"payment-service": core}, nil)
		if w, err := letters.Show(t.Context(), "ord_1:refund"); err != nil || w.State != "waiting" || w.Handler != "intent_refund" {
			t.Errorf("the refused act is %+v, %v", w, err)
		}
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "m2", CorrelationID: "ord_1", Handler: "h", Delivery: &inHand{letter: letterOf("c", "ord_1", "m2")}})
		if err := NewPayments(core, NewIntents(core)).Do(ctx, func(paymentapp.Tx) error { t.Error("it overtook the dead letter"); return nil }); err != nil {
			t.Fatal(err)
		}
		w, err := letters.Show(t.Context(), "d")
		if err != nil || w.Parked != 1 {
			t.Errorf("the dead letter is %+v, %v", w, err)
		}
	})
}
