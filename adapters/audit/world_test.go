package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/adaptertest"
	"millrace/adapters/audit"
	"millrace/adapters/outbox"
	"millrace/adapters/psp"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	inventoryapp "millrace/app/inventory"
	"millrace/app/messages"
	notificationapp "millrace/app/notification"
	orderapp "millrace/app/order"
	paymentapp "millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/inventory"
	"millrace/domain/order"
	"millrace/sagas/engine"
)

// world is the whole system without Kafka and HTTP: the real use cases on the real stores, and a
// carrier of messages that the test moves by hand.
type world struct {
	t            testing.TB
	dbs          audit.Databases
	provider     *simulator.Simulator
	place        *orderapp.PlaceOrder
	cancel       *orderapp.CancelOrder
	engine       *engine.Engine
	sagas        *sqlstore.Sagas
	takers       map[string][]taker // by message type
	payments     *sqlstore.Intents
	mails        *sqlstore.Intents
	settlers     map[intent.Kind]func(context.Context, intent.Intent) error
	offset       int64
	withoutMails bool
}

type taker struct {
	service string
	handle  func(context.Context, messages.Message) error
}

type quiet struct{}

func (quiet) Duplicate(string)                                          {}
func (quiet) Parked(string)                                             {}
func (quiet) CommitBatch(int)                                           {}
func (quiet) PaymentFailed(string)                                      {}
func (quiet) OrderCompleted(string, string, time.Duration)              {}
func (quiet) Get(context.Context, orderapp.Key) (*orderapp.Reply, bool) { return nil, false }
func (quiet) Put(context.Context, orderapp.Reply)                       {}
func (quiet) Send(context.Context, notificationapp.Mail) error          { return nil }

// eachWorld runs a test in a world on SQLite and, where there is one, on PostgreSQL.
func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, func(schema string) *sqldb.DB { return adaptertest.SQLite(t, schema) }))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := os.Getenv("TEST_POSTGRES_DSN")
		if dsn == "" {
			t.Skip("TEST_POSTGRES_DSN is not set")
		}
		if testing.Short() {
			t.Skip("four schemas for each case take a second, and the code is the same as on SQLite")
		}
		test(t, newWorld(t, func(schema string) *sqldb.DB { return adaptertest.Postgres(t, dsn, schema) }))
	})
}

func newWorld(t testing.TB, open func(schema string) *sqldb.DB) *world {
	t.Helper()
	w := &world{t: t, dbs: audit.Databases{
		Ordering: open("orders"), Payments: open("payments"), Inventory: open("inventory"), Notifications: open("notifications"),
	}}
	var err error
	w.provider, err = simulator.Open(t.TempDir(), simulator.Options{})
	w.must(err)
	t.Cleanup(func() { _ = w.provider.Close() })
	provider := psp.NewInProcess(w.provider, 0)

	ordering := core(w.dbs.Ordering, messages.OrderService)
	orders := sqlstore.NewOrders(ordering)
	w.must(orders.Seed(t.Context(), []orderapp.Product{
		{SKU: "SKU-1", Name: "One", Price: 100, Currency: "LKR"}, {SKU: "SKU-2", Name: "Two", Price: 250, Currency: "LKR"},
		{SKU: "SKU-NONE", Name: "None", Price: 700, Currency: "LKR"},
	}))
	w.place = orderapp.NewPlaceOrder(orders, sqlstore.NewCatalog(ordering), quiet{}, sqlstore.NewOrderIDs(), time.Now)
	w.cancel = orderapp.NewCancelOrder(orders, time.Now)
	w.sagas = sqlstore.NewSagas(ordering)
	w.engine = engine.New(w.sagas, engine.Timeouts{Payment: time.Minute, Inventory: time.Minute}, quiet{}, "test", time.Now)

	paying := core(w.dbs.Payments, messages.PaymentService)
	w.payments = sqlstore.NewIntents(paying)
	payments := sqlstore.NewPayments(paying, w.payments)
	stock := sqlstore.NewInventory(core(w.dbs.Inventory, messages.InventoryService))
	w.must(stock.Seed(t.Context(), []inventory.Level{{SKU: "SKU-1", OnHand: 100}, {SKU: "SKU-2", OnHand: 100}, {SKU: "SKU-NONE"}}))
	telling := core(w.dbs.Notifications, messages.NotificationService)
	w.mails = sqlstore.NewIntents(telling)
	notices := sqlstore.NewNotifications(telling, w.mails)

	w.settlers = map[intent.Kind]func(context.Context, intent.Intent) error{
		intent.Capture: paymentapp.NewSettleCapture(payments, payments, provider, quiet{}).Handle,
		intent.Void:    paymentapp.NewSettleVoid(payments, provider).Handle,
		intent.Refund:  paymentapp.NewSettleRefund(payments, payments, provider).Handle,
		intent.Mail:    notificationapp.NewSendMail(notices, notices, quiet{}).Handle,
	}
	w.takers = map[string][]taker{
		"OrderCreated":     {on(messages.PaymentService, paymentapp.NewCapturePayment(payments).Handle)},
		"RefundPayment":    {on(messages.PaymentService, paymentapp.NewRefundPayment(payments).Handle)},
		"PaymentSucceeded": {on(messages.InventoryService, inventoryapp.NewReserveStock(stock).Handle)},
		"ReleaseInventory": {on(messages.InventoryService, inventoryapp.NewReleaseInventory(stock).Handle)},
		"OrderCompleted":   {on(messages.NotificationService, notificationapp.NewNotifyCustomer(notices, time.Now).Handle)},
	}
	for _, spec := range messages.Catalogue {
		if spec.Kind == messages.Event && spec.Name != "OrderCompleted" {
			w.takers[spec.Name] = append(w.takers[spec.Name], taker{messages.Orchestrator, w.engine.Handle})
		}
	}
	return w
}

func core(db *sqldb.DB, service string) *sqlstore.Core {
	logger := slog.New(slog.DiscardHandler)
	return sqlstore.NewCore(sqlstore.Config{
		DB: db, Service: service, Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: quiet{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: time.Now,
	})
}

func on[M any](service string, handle func(context.Context, *M) error) taker {
	return taker{service, func(ctx context.Context, m messages.Message) error {
		mine, ok := any(m).(*M)
		if !ok {
			return fmt.Errorf("%s got a %T", service, m)
		}
		return handle(ctx, mine)
	}}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// placed places an order with an Idempotency-Key of its own; no message has moved yet.
func (w *world) placed(method string, items ...orderapp.Wish) string {
	w.t.Helper()
	w.offset++
	answer, err := w.place.Handle(w.t.Context(), orderapp.Request{
		UserID: "usr_001", Currency: "LKR", PaymentMethod: method, Items: items, Key: fmt.Sprintf("key-%d", w.offset), Hash: "h",
	})
	w.must(err)
	return answer.OrderID
}

// settle moves everything until nothing moves any more.
func (w *world) settle() {
	w.t.Helper()
	for w.step() {
	}
}

// step delivers all messages that lie in the outboxes, then does what was intended.
func (w *world) step() bool {
	w.t.Helper()
	moved := false
	for _, db := range []*sqldb.DB{w.dbs.Ordering, w.dbs.Payments, w.dbs.Inventory} {
		var out []struct {
			Seq     int64  `db:"seq"`
			Topic   string `db:"topic"`
			Payload []byte `db:"payload"`
		}
		w.must(db.SelectContext(w.t.Context(), &out, "SELECT seq, topic, payload FROM outbox WHERE published_at IS NULL ORDER BY seq"))
		for _, o := range out {
			w.deliver(o.Topic, o.Payload)
			w.exec(db, "UPDATE outbox SET published_at = created_at WHERE seq = ?", o.Seq)
			moved = true
		}
	}
	intents := []*sqlstore.Intents{w.payments, w.mails}
	if w.withoutMails {
		intents = intents[:1]
	}
	for _, s := range intents {
		for {
			select {
			case batch := <-s.Committed():
				for _, in := range batch {
					if err := w.settlers[in.Kind](w.t.Context(), in); err != nil && fault.KindOf(err) != fault.Unavailable {
						w.t.Fatal(err)
					}
				}
				moved = true
				continue
			default:
			}
			break
		}
	}
	return moved
}

func (w *world) deliver(topic string, payload []byte) {
	w.t.Helper()
	envelope, err := messages.Open(payload)
	w.must(err)
	m, err := envelope.Message()
	w.must(err)
	w.offset++
	for _, taker := range w.takers[envelope.Type] {
		ctx := messages.WithCause(w.t.Context(), messages.Cause{
			Consumer: taker.service + "." + topic, MessageID: envelope.EventID, CausationID: envelope.EventID,
			CorrelationID: m.Order(), Type: envelope.Type, Topic: topic, Offset: w.offset,
		})
		w.must(taker.handle(ctx, m))
	}
}

func (w *world) exec(db *sqldb.DB, statement string, args ...any) {
	w.t.Helper()
	_, err := db.ExecContext(w.t.Context(), db.Rebind(statement), args...)
	w.must(err)
}

// orders are one of every end, and what to call them by in statements.
type orders struct{ confirmed, declined, refunded, cancelled string }

// full brings one order to every end.
func (w *world) full() orders {
	w.t.Helper()
	o := orders{
		confirmed: w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-2", Qty: 3}, orderapp.Wish{SKU: "SKU-1", Qty: 2}),
		declined:  w.placed("pm_card_declined", orderapp.Wish{SKU: "SKU-1", Qty: 1}),
		refunded:  w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-NONE", Qty: 1}),
		cancelled: w.placed("pm_card_ok", orderapp.Wish{SKU: "SKU-1", Qty: 1}),
	}
	_, err := w.cancel.Handle(w.t.Context(), orderapp.Anyone(), order.ID(o.cancelled))
	w.must(err)
	w.settle()
	for id, want := range map[string]string{o.confirmed: "CONFIRMED", o.declined: "FAILED", o.refunded: "FAILED", o.cancelled: "CANCELLED"} {
		var got string
		w.must(w.dbs.Ordering.GetContext(w.t.Context(), &got, w.dbs.Ordering.Rebind("SELECT status FROM orders WHERE id = ?"), id))
		if got != want {
			w.t.Fatalf("%s is %s, not %s", id, got, want)
		}
	}
	return o
}

// auditor looks at the world once, over its provider's HTTP interface.
func (w *world) auditor(change ...func(*audit.Config)) *audit.Auditor {
	server := httptest.NewServer(w.provider.Handler())
	w.t.Cleanup(server.Close)
	start := time.Now()
	c := audit.Config{
		Databases: w.dbs, Ledger: audit.LedgerOverHTTP(server.Client(), server.URL),
		Now: func() time.Time { return start },
		Pause: func(context.Context, time.Duration) error { // the next look is the last
			start = start.Add(time.Hour)
			return nil
		},
	}
	for _, f := range change {
		f(&c)
	}
	return audit.New(c)
}

// verify gives the names of the broken invariants.
func (w *world) verify(settled bool, change ...func(*audit.Config)) []string {
	w.t.Helper()
	report, err := w.auditor(change...).Verify(w.t.Context(), settled)
	w.must(err)
	var names []string
	for _, i := range report.Invariants {
		if i.OK != (i.Broken == 0) || i.OK != (len(i.Violations) == 0) {
			w.t.Errorf("%+v contradicts itself", i)
		}
		if !i.OK {
			names = append(names, i.Name)
			w.t.Log(i.Name, i.Violations)
		}
	}
	if report.OK != (len(names) == 0) {
		w.t.Errorf("ok is %t with %v broken", report.OK, names)
	}
	slices.Sort(names)
	return names
}

// sabotage runs a statement in which {confirmed} and so on stand for orders.
func (w *world) sabotage(db *sqldb.DB, statement string, o orders) {
	w.t.Helper()
	if strings.Contains(statement, "saga_journal") {
		w.unlockJournal(db)
	}
	result, err := db.ExecContext(w.t.Context(), strings.NewReplacer("{confirmed}", "'"+o.confirmed+"'", "{declined}", "'"+o.declined+"'",
		"{refunded}", "'"+o.refunded+"'", "{cancelled}", "'"+o.cancelled+"'").Replace(statement))
	w.must(err)
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		w.t.Fatalf("the sabotage changed nothing (%v): %s", err, statement)
	}
}

// unlockJournal takes away what refuses to change a journal, as somebody who owns the database can.
func (w *world) unlockJournal(db *sqldb.DB) {
	w.t.Helper()
	if db.Dialect == sqldb.Postgres {
		w.exec(db, "DROP TRIGGER IF EXISTS saga_journal_append_only ON saga_journal")
		return
	}
	w.exec(db, "DROP TRIGGER IF EXISTS saga_journal_no_update")
	w.exec(db, "DROP TRIGGER IF EXISTS saga_journal_no_delete")
}

func newClient() *http.Client { return &http.Client{Timeout: 5 * time.Second} }
