package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/audit"
	"millrace/adapters/sqldb"
	report "millrace/app/audit"
	orderapp "millrace/app/order"
	"millrace/domain/fault"
)

func TestASystemThatIsAsItShouldBeBreaksNothing(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.full()
		r, err := w.auditor(func(c *audit.Config) { c.NoLedger = "there is one" }).Verify(t.Context(), true)
		w.must(err)
		if want := (report.Orders{Total: 4, Confirmed: 1, Failed: 2, Cancelled: 1}); r.Orders != want || !r.OK {
			t.Errorf("%+v, want %+v and ok", r, want)
		}
		if len(r.Invariants) != 11 {
			t.Errorf("%d invariants", len(r.Invariants))
		}
		for _, i := range r.Invariants {
			if i.Checked == 0 || i.Unchecked != "" {
				t.Errorf("%s checked nothing", i.Name)
			}
		}
	})
}

func TestAnOrderMayBeAnywhereOnItsWay(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-1", Qty: 1})
		w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-NONE", Qty: 1})
		for step := 0; ; step++ {
			if broken := w.verify(false); len(broken) > 0 {
				t.Fatalf("after %d steps: %v", step, broken)
			}
			if broken := w.verify(true); step < 3 && !slices.Contains(broken, report.NothingPending) {
				t.Fatalf("after %d steps settled shows only %v", step, broken)
			}
			if !w.step() {
				return
			}
		}
	})
}

// Each sabotage is a statement that no code of ours would run; {confirmed} and so on are orders.
func TestEveryInvariantIsFoundBroken(t *testing.T) {
	t.Parallel()
	ordering := func(d audit.Databases) *sqldb.DB { return d.Ordering }
	payments := func(d audit.Databases) *sqldb.DB { return d.Payments }
	inventory := func(d audit.Databases) *sqldb.DB { return d.Inventory }
	notifications := func(d audit.Databases) *sqldb.DB { return d.Notifications }
	cases := []struct {
		name     string
		settled  bool
		db       func(audit.Databases) *sqldb.DB
		sabotage string
		want     []string
	}{
		{"stock is set aside for nobody", false, inventory, "UPDATE stock SET reserved = reserved + 1 WHERE sku = 'SKU-1'",
			[]string{report.StockConserved}},
		{"a held SKU is not in stock", false, inventory, "DELETE FROM stock WHERE sku = 'SKU-2'", []string{report.StockConserved}},
		{"a sold order holds nothing", false, inventory, "DELETE FROM reservations WHERE order_id = {confirmed}", []string{report.StockConserved}},
		{"a failed order holds stock", false, inventory,
			"UPDATE reservations SET state = 'held', lines = '[]' WHERE order_id = {refunded}",
			[]string{report.OutboxMatchesState, report.StockConserved}},
		{"something else is held than was ordered", false, inventory,
			`UPDATE reservations SET lines = '[{"sku":"SKU-1","qty":3},{"sku":"SKU-2","qty":2}]' WHERE order_id = {confirmed}`,
			[]string{report.StockConserved}},

		{"a sold order was charged another amount", false, payments, "UPDATE payments SET amount = amount + 1 WHERE order_id = {confirmed}",
			[]string{report.MoneyConserved}},
		{"a sold order was not charged", false, payments, "UPDATE payments SET state = 'capturing' WHERE order_id = {confirmed}",
			[]string{report.MoneyConserved}},
		{"a failed order keeps the money", false, payments,
			"UPDATE payments SET state = 'refunding' WHERE order_id = {refunded}", []string{report.MoneyConserved}},
		{"an ended order has no payment", false, payments, "DELETE FROM payments WHERE order_id = {declined}", []string{report.MoneyConserved}},
		{"two charges were intended", false, payments, `INSERT INTO intents (id, order_id, kind, cause, trace_parent, state, version, attempts,
				due_at, created_at, updated_at) SELECT id || '2', order_id, kind, cause, trace_parent, state, version, attempts,
				due_at, created_at, updated_at FROM intents WHERE order_id = {confirmed}`, []string{report.OneCapturePerOrder}},

		{"the saga moved after its end", false, ordering,
			`UPDATE saga_journal SET state_before = state_after, state_after = '{}' WHERE order_id = {confirmed}
				AND seq = (SELECT max(seq) FROM saga_journal WHERE order_id = {confirmed})`, []string{report.TerminalAbsorbs}},
		{"order and saga ended differently", false, ordering, "UPDATE sagas SET step = 'failed' WHERE order_id = {confirmed}",
			[]string{report.TerminalAbsorbs}},
		{"a timer runs after the end", false, ordering,
			"INSERT INTO saga_timers SELECT order_id, 'payment', 1, created_at FROM sagas WHERE order_id = {declined}",
			[]string{report.TerminalAbsorbs}},

		{"a timeline goes where no order can go", false, ordering,
			"UPDATE order_timeline SET status = 'CONFIRMED' WHERE order_id = {confirmed} AND seq = 2", []string{report.TimelineIsAPath}},
		{"a timeline has a gap", false, ordering, "DELETE FROM order_timeline WHERE order_id = {confirmed} AND seq = 2",
			[]string{report.TimelineIsAPath}},
		{"a timeline has no beginning", false, ordering, "DELETE FROM order_timeline WHERE order_id = {confirmed}",
			[]string{report.TimelineIsAPath}},
		{"a timeline stops before the end", false, ordering,
			"DELETE FROM order_timeline WHERE order_id = {confirmed} AND seq = 4", []string{report.TimelineIsAPath}},

		{"a command is not in the outbox", false, ordering,
			"DELETE FROM outbox WHERE aggregate_id = {refunded} AND event_type = 'RefundPayment'", []string{report.OutboxMatchesState}},
		{"an order's first message is not in the outbox", false, ordering,
			"DELETE FROM outbox WHERE aggregate_id = {confirmed} AND event_type = 'OrderCreated'", []string{report.OutboxMatchesState}},
		{"a cancel was not passed on", false, ordering,
			"DELETE FROM outbox WHERE aggregate_id = {cancelled} AND event_type = 'OrderCancelRequested'", []string{report.OutboxMatchesState}},
		{"an end was told twice", false, ordering, `INSERT INTO outbox (id, aggregate_id, event_type, payload, headers, topic, created_at, published_at)
			SELECT id || '2', aggregate_id, event_type, payload, headers, topic, created_at, published_at FROM outbox
			WHERE aggregate_id = {confirmed} AND event_type = 'OrderCompleted'`, []string{report.OutboxMatchesState}},
		{"another end was told", false, ordering,
			`UPDATE saga_journal SET sent = replace(sent, '"CONFIRMED"', '"FAILED"') WHERE order_id = {confirmed}`,
			[]string{report.OutboxMatchesState}},
		{"a payment told nobody", false, payments, "DELETE FROM outbox WHERE aggregate_id = {confirmed}", []string{report.OutboxMatchesState}},
		{"inventory told nobody", false, inventory, "DELETE FROM outbox WHERE aggregate_id = {refunded}", []string{report.OutboxMatchesState}},

		{"a saga took a message twice", false, ordering,
			`UPDATE saga_journal SET message_id = (SELECT j.message_id FROM saga_journal j WHERE j.order_id = {confirmed} AND j.seq = 1)
				WHERE order_id = {confirmed} AND seq = 2`, []string{report.InboxUnique}},
		{"a saga took a message without an inbox row", false, ordering,
			"DELETE FROM inbox WHERE message_id = (SELECT message_id FROM saga_journal WHERE order_id = {confirmed} AND seq = 1)",
			[]string{report.InboxUnique}},

		{"an answered order is not there", false, ordering,
			"UPDATE idempotency_keys SET order_id = 'ord_lost' WHERE order_id = {confirmed}", []string{report.EveryAcceptedOrderExists}},
		{"a told order is not there", false, ordering,
			"UPDATE outbox SET aggregate_id = 'ord_lost' WHERE aggregate_id = {confirmed} AND event_type = 'OrderCreated'",
			[]string{report.EveryAcceptedOrderExists}},
		{"an order has no saga", false, ordering, "DELETE FROM sagas WHERE order_id = {confirmed}", []string{report.EveryAcceptedOrderExists}},
		{"an order lost a line", false, ordering, "DELETE FROM order_items WHERE order_id = {declined}", []string{report.EveryAcceptedOrderExists}},
		{"a participant knows of an order that is not there", false, inventory,
			"INSERT INTO reservations SELECT 'ord_zzz', state, lines, created_at, updated_at FROM reservations WHERE order_id = {cancelled}",
			[]string{report.EveryAcceptedOrderExists, report.OutboxMatchesState}},

		{"a customer was not told", false, notifications, "DELETE FROM notices WHERE order_id = {confirmed}", []string{report.MailPerTerminalOrder}},
		{"a customer was told something else", false, notifications,
			"UPDATE notices SET status = 'FAILED' WHERE order_id = {confirmed}", []string{report.MailPerTerminalOrder}},
		{"nobody means to send a letter", false, notifications,
			"DELETE FROM intents WHERE order_id = {confirmed}", []string{report.MailPerTerminalOrder}},
		{"a letter was not sent", true, notifications,
			"UPDATE notices SET sent_at = NULL WHERE order_id = {confirmed}", []string{report.MailPerTerminalOrder}},

		{"a message waits", true, payments, "UPDATE outbox SET published_at = NULL WHERE aggregate_id = {confirmed}",
			[]string{report.NothingPending}},
		{"an act is to be done", true, payments, "UPDATE intents SET state = 'dead' WHERE order_id = {confirmed}",
			[]string{report.NothingPending}},
		{"a dead letter waits", true, inventory, letter("", "waiting"), []string{report.NothingPending}},
		{"a dead letter is sent again", true, inventory, letter("", "redriving"), []string{report.NothingPending}},
		{"a dead letter that was discarded is over", true, inventory, letter("", "discarded"), nil},
		{"a dead letter holds nobody", false, inventory, letter("ord_1", "waiting"), []string{report.InboxUnique}},
		{"a message is parked and not kept", true, inventory, "UPDATE inbox SET outcome = 'parked' WHERE message_id = (SELECT min(message_id) FROM inbox)",
			[]string{report.InboxUnique, report.NothingPending}},
		{"a message is kept as parked and the inbox has none", false, inventory, letter("", "parked"), []string{report.InboxUnique}},
		{"an order is held for nothing", false, inventory, "INSERT INTO held_orders (consumer, order_id, length) VALUES ('c', 'ord_1', 1)",
			[]string{report.InboxUnique}},
		{"a refund that was paid back by hand is told to nobody but us", true, payments, `INSERT INTO dead_letters (id, message_id, order_id, service,
				consumer, handler, type, topic, partition_no, offset_no, headers, reason, error, attempts, first_at, last_at, state)
			SELECT 'd', 'm', {refunded}, 's', 'intent_refund', 'intent_refund', 'refund', '', 0, 0, '{}', 'r', 'e', 1, created_at, created_at, 'settled'
			FROM outbox LIMIT 1`, []string{report.BooksMatchProvider, report.MoneyConserved}}, // the provider knows of it as well: paid back twice
		{"our books say that money was given back", true, payments,
			"UPDATE payments SET state = 'voided' WHERE order_id = {refunded}", []string{report.BooksMatchProvider}},
	}
	broken := map[string]bool{}
	for _, c := range cases {
		for _, name := range c.want {
			broken[name] = true
		}
	}
	for _, name := range []string{
		report.StockConserved, report.MoneyConserved, report.OneCapturePerOrder, report.TerminalAbsorbs, report.TimelineIsAPath,
		report.OutboxMatchesState, report.InboxUnique, report.EveryAcceptedOrderExists, report.MailPerTerminalOrder,
		report.NothingPending, report.BooksMatchProvider,
	} {
		if !broken[name] {
			t.Errorf("nothing here breaks %s", name)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWorld(t, func(t *testing.T, w *world) {
				o := w.full()
				w.sabotage(c.db(w.dbs), c.sabotage, o)
				if got := w.verify(c.settled); !slices.Equal(got, c.want) {
					t.Errorf("broken are %v, want %v", got, c.want)
				}
			})
		})
	}
}

// The provider is outside: what it says is not to be changed, so another one says it.
func TestTheProvidersWordIsChecked(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		says func(o orders, each func(audit.Movement))
		want []string
	}{
		{"a sold order was captured twice", func(o orders, each func(audit.Movement)) {
			each(audit.Movement{OrderID: o.confirmed, Amount: 950, Currency: "LKR"})
		}, []string{report.BooksMatchProvider, report.MoneyConserved, report.OneCapturePerOrder}},
		{"a sold order was captured twice and given back once", func(o orders, each func(audit.Movement)) {
			each(audit.Movement{OrderID: o.confirmed, Amount: 950, Currency: "LKR"})
			each(audit.Movement{OrderID: o.confirmed, Amount: 950, Currency: "LKR", Refund: true})
		}, []string{report.BooksMatchProvider, report.OneCapturePerOrder}},
		{"a declined order was captured", func(o orders, each func(audit.Movement)) {
			each(audit.Movement{OrderID: o.declined, Amount: 100, Currency: "LKR"})
		}, []string{report.BooksMatchProvider, report.MoneyConserved}},
		{"money was taken for an order that is not there", func(_ orders, each func(audit.Movement)) {
			each(audit.Movement{OrderID: "ord_lost", Amount: 100, Currency: "LKR"})
		}, []string{report.MoneyConserved}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWorld(t, func(t *testing.T, w *world) {
				o := w.full()
				got := w.verify(true, func(config *audit.Config) {
					honest := config.Ledger
					config.Ledger = func(ctx context.Context, each func(audit.Movement)) error {
						c.says(o, each)
						return honest(ctx, each)
					}
				})
				if !slices.Equal(got, c.want) {
					t.Errorf("broken are %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestWithoutALedgerTheProvidersBooksAreCalledUnchecked(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		blind := func(c *audit.Config) { c.Ledger, c.NoLedger = nil, "cards are not charged here" }
		r, err := w.auditor(blind).Verify(t.Context(), true)
		w.must(err)
		last := r.Invariants[len(r.Invariants)-1]
		if !r.OK || last.Name != report.BooksMatchProvider || last.Checked != 0 || last.Unchecked != "cards are not charged here" {
			t.Errorf("%+v", r)
		}
		w.exec(w.dbs.Payments, "UPDATE payments SET amount = amount + 1 WHERE order_id = ?", o.confirmed)
		if got := w.verify(true, blind); !slices.Equal(got, []string{report.MoneyConserved}) {
			t.Errorf("broken are %v", got)
		}
	})
}

func TestASuspectThatGoesAwayIsNotBroken(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		o := w.full()
		w.exec(w.dbs.Notifications, "UPDATE notices SET status = 'FAILED' WHERE order_id = ?", o.confirmed)
		looks := 0
		broken := w.verify(false, func(c *audit.Config) {
			c.Pause = func(context.Context, time.Duration) error {
				looks++
				w.exec(w.dbs.Notifications, "UPDATE notices SET status = 'CONFIRMED' WHERE order_id = ?", o.confirmed)
				w.exec(w.dbs.Notifications, "UPDATE notices SET status = 'CANCELLED' WHERE order_id = ?", o.declined) // a new one
				return nil
			}
		})
		if looks != 1 || len(broken) > 0 {
			t.Errorf("%v broken after %d more looks", broken, looks)
		}
	})
}

func TestWhatOneDatabaseSaysIsFinalAtOnce(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.full()
		w.exec(w.dbs.Inventory, "UPDATE stock SET reserved = reserved + 1 WHERE sku = 'SKU-1'")
		broken := w.verify(false, func(c *audit.Config) {
			c.Pause = func(context.Context, time.Duration) error { return errors.New("looked again") }
		})
		if !slices.Equal(broken, []string{report.StockConserved}) {
			t.Errorf("broken are %v", broken)
		}
	})
}

func TestOldRowsMayHaveBeenDeleted(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.full()
		for _, db := range []*sqldb.DB{w.dbs.Ordering, w.dbs.Payments, w.dbs.Inventory} {
			w.exec(db, "DELETE FROM outbox")
			w.exec(db, "DELETE FROM inbox")
		}
		later := time.Now().Add(30 * 24 * time.Hour)
		if broken := w.verify(true, func(c *audit.Config) { c.Now = func() time.Time { return later } }); len(broken) > 0 {
			t.Errorf("broken are %v", broken)
		}
	})
}

func TestOffendersAreCountedAndTheFirstAreNamed(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		for range 12 {
			w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-1", Qty: 1})
		}
		w.exec(w.dbs.Ordering, "DELETE FROM order_items")
		r, err := w.auditor().Verify(t.Context(), false)
		w.must(err)
		for _, i := range r.Invariants {
			if i.Name == report.EveryAcceptedOrderExists && (i.Broken != 12 || len(i.Violations) != report.MaxViolations) {
				t.Errorf("%d broken, %d named", i.Broken, len(i.Violations))
			}
		}
	})
}

func TestACheckThatCannotBeMadeIsAnErrorAndNoReport(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		gone := w.auditor(func(c *audit.Config) { c.Ledger = audit.LedgerOverHTTP(newClient(), "http://user:secret@127.0.0.1:1") })
		_, err := gone.Verify(t.Context(), false)
		if !errors.Is(err, audit.ErrLedger) {
			t.Fatalf("without a provider: %v", err)
		}
		if text := err.Error(); !strings.Contains(text, "@127.0.0.1:1/v1/ledger: ") || !strings.HasSuffix(text, "set PSP_URL to where the provider is") || strings.Contains(text, "secret") {
			t.Errorf("it does not say who was asked and what to do, or says too much: %s", text)
		}
		w.exec(w.dbs.Payments, "UPDATE goose_db_version SET version_id = version_id + 1 WHERE version_id > 0")
		if _, err := w.auditor().Verify(t.Context(), false); !errors.Is(err, sqldb.ErrVersion) || fault.KindOf(err) != fault.Invalid {
			t.Errorf("with a newer schema: %v", err)
		}
	})
}

// letter puts a dead letter of an order into the inventory's database.
func letter(orderID, state string) string {
	return `INSERT INTO dead_letters (id, message_id, order_id, service, consumer, handler, type, topic,
			partition_no, offset_no, headers, reason, error, attempts, first_at, last_at, state)
		SELECT 'd', 'm', '` + orderID + `', 's', 'c', 'h', 't', 't', 0, 0, '{}', 'bad_data', 'e', 1, created_at, created_at, '` + state + `' FROM outbox LIMIT 1`
}
