package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/analytics"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	"millrace/domain/order"
	"millrace/sagas/engine"
)

// The page's conversation takes place beside a database with three orders, of which the model has lost one.
func TestTheReadModelsOfThePageAreRebuiltAsItStandsThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Read models\n")
	if section, _, _ = strings.Cut(section, "\n## "); !found {
		t.Fatal("the page has no section about read models")
	}
	block := consoleBlock.FindStringSubmatch(section)
	if block == nil {
		t.Fatal("the section has no conversation")
	}
	dir := t.TempDir()
	loseAnOrder(t, filepath.Join(dir, ".millrace", "db", "orders.db"))
	binary := filepath.Join(t.TempDir(), "millrace")
	build(t, binary)

	code := 0
	for _, exchange := range strings.Split("\n"+block[1], "\n$ ")[1:] {
		line, want, _ := strings.Cut(exchange, "\n")
		want = strings.TrimSuffix(want, "\n")
		if line == "echo $?" {
			if fmt.Sprint(code) != want {
				t.Errorf("the command before it ends with %d, the page says %s", code, want)
			}
			continue
		}
		c := exec.CommandContext(t.Context(), binary, strings.Fields(strings.TrimPrefix(line, "millrace "))...)
		c.Dir, c.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		out, err := c.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		code = c.ProcessState.ExitCode()
		if got := strings.TrimSuffix(string(out), "\n"); got != want {
			t.Errorf("$ %s says\n%s\nand the page\n%s", line, got, want)
		}
	}
}

// unheard hears nothing and remembers nothing.
type unheard struct{}

func (unheard) Duplicate(string)                                          {}
func (unheard) CommitBatch(int)                                           {}
func (unheard) Parked(string)                                             {}
func (unheard) OrderCompleted(string, string, time.Duration)              {}
func (unheard) Get(context.Context, orderapp.Key) (*orderapp.Reply, bool) { return nil, false }
func (unheard) Put(context.Context, orderapp.Reply)                       {}

// numbered gives order ids by number.
type numbered struct{ n int }

func (i *numbered) NewOrderID() order.ID { i.n++; return order.ID(fmt.Sprintf("ord_%d", i.n)) }

// ordering is a database of ordering, with the test for everybody else.
type ordering struct {
	t     *testing.T
	db    *sqldb.DB
	core  *sqlstore.Core
	place *orderapp.PlaceOrder
	sagas *engine.Engine
}

// newOrdering makes the database of a data folder. Orders are placed, and their sagas told, at what now says.
func newOrdering(t *testing.T, path string, now func() time.Time) *ordering {
	t.Helper()
	o := &ordering{t: t}
	o.must(os.MkdirAll(filepath.Dir(path), 0o700))
	var err error
	o.db, err = sqldb.OpenSQLite(t.Context(), path)
	o.must(err)
	t.Cleanup(func() { _ = o.db.Close() })
	o.must(sqldb.Migrate(t.Context(), o.db, "orders"))

	logger := slog.New(slog.DiscardHandler)
	o.core = sqlstore.NewCore(sqlstore.Config{
		DB: o.db, Service: "test", Outbox: outbox.NewWriter(o.db.Dialect, logger), Wake: func() {}, Observer: unheard{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: now,
	})
	orders := sqlstore.NewOrders(o.core)
	o.must(orders.Seed(t.Context(), []orderapp.Product{{SKU: "SKU-123", Name: "One", Price: 1200, Currency: "LKR"}}))
	o.place = orderapp.NewPlaceOrder(orders, sqlstore.NewCatalog(o.core), unheard{}, &numbered{}, now)
	o.sagas = engine.New(sqlstore.NewSagas(o.core), engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, unheard{}, "page", now)
	return o
}

func (o *ordering) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// placed gives the id of an order of so many pieces.
func (o *ordering) placed(pieces int) string {
	o.t.Helper()
	answer, err := o.place.Handle(o.t.Context(), orderapp.Request{
		UserID: "usr_001", Currency: "LKR", PaymentMethod: "pm_card_ok", Items: []orderapp.Wish{{SKU: "SKU-123", Qty: pieces}},
	})
	o.must(err)
	return answer.OrderID
}

// hears lets messages reach the saga of an order.
func (o *ordering) hears(id string, story ...messages.Message) {
	o.t.Helper()
	for _, m := range story {
		o.must(o.sagas.Handle(messages.WithCause(o.t.Context(), messages.Cause{
			Consumer: "orchestrator", MessageID: id + m.Name(), CorrelationID: id, Type: m.Name(),
		}), m))
	}
}

// loseAnOrder makes ordering's database with three orders that have ended, and takes one of them out of
// orders_by_user.
func loseAnOrder(t *testing.T, path string) {
	t.Helper()
	o := newOrdering(t, path, func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) })
	record := analytics.NewRecordEnd(sqlstore.NewAnalytics(o.core))
	for n := 1; n <= 3; n++ {
		id := o.placed(n)
		story := []messages.Message{
			&messages.OrderCreated{OrderID: id, UserID: "usr_001", Currency: "LKR", Total: int64(n) * 1200},
			&messages.PaymentSucceeded{OrderID: id}, &messages.InventoryReserved{OrderID: id},
		}
		if n == 2 {
			story = append(story[:1], &messages.PaymentFailed{OrderID: id, Reason: messages.ReasonPaymentDeclined})
		}
		o.hears(id, story...)
		var envelope messages.Envelope
		var payload []byte
		o.must(o.db.GetContext(t.Context(), &payload, "SELECT payload FROM outbox WHERE event_type = 'OrderCompleted' AND aggregate_id = ?", id))
		o.must(json.Unmarshal(payload, &envelope))
		var completed messages.OrderCompleted
		o.must(json.Unmarshal(envelope.Data, &completed))
		o.must(record.Handle(messages.WithCause(t.Context(), messages.Cause{Consumer: "order-service.order.events", MessageID: envelope.EventID}), &completed))
	}
	_, err := o.db.ExecContext(t.Context(), "DELETE FROM orders_by_user WHERE order_id = 'ord_3'")
	o.must(err)
	o.must(o.db.Close())
}
