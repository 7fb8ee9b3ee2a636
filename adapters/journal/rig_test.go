package journal_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	"millrace/domain/order"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// ordering is the orchestrator on a real database, with a clock and ids of its own, so that a run
// writes the same journal each time. The participants' words are the test's.
type ordering struct {
	t        *testing.T
	db       *sqldb.DB
	place    *orderapp.PlaceOrder
	core     *sqlstore.Core
	books    map[string]*sqlstore.Core // by service; of an operator's acts
	sagas    *sqlstore.Sagas
	engine   *engine.Engine
	now      time.Time
	nextID   string
	failures int // of the next transactions
	panics   int // instead of a failure
	n        int
	version  int // of the sagas that begin; 0 for the current one
}

type quiet struct{}

func (quiet) Duplicate(string)                                          {}
func (quiet) CommitBatch(int)                                           {}
func (quiet) Parked(string)                                             {}
func (quiet) OrderCompleted(string, string, time.Duration)              {}
func (quiet) Get(context.Context, orderapp.Key) (*orderapp.Reply, bool) { return nil, false }
func (quiet) Put(context.Context, orderapp.Reply)                       {}

func newOrdering(t *testing.T, db *sqldb.DB) *ordering {
	t.Helper()
	o := &ordering{t: t, db: db, now: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)}
	logger := slog.New(slog.DiscardHandler)
	core := sqlstore.NewCore(sqlstore.Config{
		DB: db, Service: messages.Orchestrator, Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: quiet{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: o.clock,
	})
	orders := sqlstore.NewOrders(core)
	o.must(orders.Seed(t.Context(), []orderapp.Product{{SKU: "SKU-1", Name: "One", Price: 1200, Currency: "LKR"}}))
	o.place = orderapp.NewPlaceOrder(orders, sqlstore.NewCatalog(core), quiet{}, o, o.clock)
	o.core, o.sagas = core, sqlstore.NewSagas(core)
	o.engine = engine.New(o, engine.Timeouts{Payment: 30 * time.Second, Inventory: 30 * time.Second}, quiet{}, replay.Staged, o.clock)
	return o
}

func (o *ordering) clock() time.Time { return o.now }

// NewOrderID gives the id that the test has chosen.
func (o *ordering) NewOrderID() order.ID { return order.ID(o.nextID) }

var errUnlucky = errors.New("the handler was unlucky")

// Do runs a unit of work, and lets it fail at its end as often as the test wishes.
func (o *ordering) Do(ctx context.Context, fn func(engine.Tx) error) error {
	return o.sagas.Do(ctx, func(tx engine.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if o.panics > 0 {
			o.panics--
			panic(errUnlucky)
		}
		if o.failures > 0 {
			o.failures--
			return errUnlucky
		}
		return nil
	})
}

func (o *ordering) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// story is what happens to one order.
type story struct {
	*ordering
	id string
}

// order places an order; its OrderCreated has not been delivered.
func (o *ordering) order(id string) *story {
	o.t.Helper()
	o.nextID = id
	_, err := o.place.Handle(o.t.Context(), orderapp.Request{UserID: "usr_001", Currency: "LKR", PaymentMethod: "pm_card_ok", Items: []orderapp.Wish{{SKU: "SKU-1", Qty: 2}}})
	o.must(err)
	if o.version != 0 && o.version != saga.Version {
		o.begin(id)
	}
	return &story{o, id}
}

// begin makes it a saga that has begun with the rig's version, under a build before this one: from
// there on this build's engine carries it.
func (o *ordering) begin(id string) {
	o.t.Helper()
	o.must(o.sagas.Do(o.t.Context(), func(tx engine.Tx) error {
		found, err := tx.Sagas(o.t.Context(), id)
		if err != nil {
			return err
		}
		i := found[id]
		i.Definition, i.State, i.Version, i.TimelineSeq, i.EnteredAt = o.version, saga.Start(), 1, 1, o.now
		tx.Keep(i)
		return nil
	}))
}

// hears delivers messages by name, a second apart, each with an id of its own: one that comes again
// is one that the inbox does not know.
func (s *story) hears(names ...string) *story {
	s.t.Helper()
	for _, name := range names {
		s.n++
		s.now = s.now.Add(time.Second)
		m := s.message(name)
		spec, _ := messages.SpecOf(name)
		err := s.engine.Handle(messages.WithCause(s.t.Context(), messages.Cause{
			Consumer: messages.Orchestrator + "." + spec.Topic, MessageID: messages.DerivedID(s.id, name, s.n), CorrelationID: s.id,
			Type: name, Topic: spec.Topic, Offset: int64(s.n),
		}), m)
		if err != nil && !errors.Is(err, errUnlucky) {
			s.t.Fatal(err)
		}
	}
	return s
}

// fails lets the next attempt fail at its end.
func (s *story) fails() *story {
	s.failures = 1
	return s
}

// timesOut fires a timer, due or not.
func (s *story) timesOut(name string, entry int) *story {
	s.t.Helper()
	s.now = s.now.Add(30 * time.Second)
	s.must(s.engine.Fire(s.t.Context(), engine.DueTimer{OrderID: s.id, Name: name, Entry: entry}))
	return s
}

func (s *story) message(name string) messages.Message {
	items := []messages.Quantity{{SKU: "SKU-1", Qty: 2}}
	payment := "pay_" + s.id
	switch name {
	case "OrderCreated":
		return &messages.OrderCreated{OrderID: s.id, UserID: "usr_001", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 1200}}, Currency: "LKR", Total: 2400, PaymentMethod: "pm_card_ok"}
	case "OrderCancelRequested":
		return &messages.OrderCancelRequested{OrderID: s.id, UserID: "usr_001", Reason: messages.ReasonCancelledByUser}
	case "PaymentSucceeded":
		return &messages.PaymentSucceeded{OrderID: s.id, PaymentID: payment, Amount: 2400, Currency: "LKR", Provider: "simulator", AuthCode: "A1", Items: items}
	case "PaymentFailed":
		return &messages.PaymentFailed{OrderID: s.id, Amount: 2400, Currency: "LKR", Provider: "simulator", Reason: messages.ReasonPaymentDeclined}
	case "PaymentRefunded":
		return &messages.PaymentRefunded{OrderID: s.id, PaymentID: &payment, Amount: 2400, Currency: "LKR", Outcome: "refunded"}
	case "InventoryReserved":
		return &messages.InventoryReserved{OrderID: s.id, Reservations: items, Warehouse: "main"}
	case "InventoryFailed":
		return &messages.InventoryFailed{OrderID: s.id, Reason: messages.ReasonOutOfStock, Missing: []messages.Shortage{{SKU: "SKU-1", Wanted: 2}}}
	case "InventoryReleased":
		return &messages.InventoryReleased{OrderID: s.id, Released: items}
	default:
		s.t.Fatalf("nobody says %q", name)
		return nil
	}
}
