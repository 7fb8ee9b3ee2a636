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

// loseAnOrder makes ordering's database with three orders that have ended, and takes one of them out of
// orders_by_user.
func loseAnOrder(t *testing.T, path string) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(os.MkdirAll(filepath.Dir(path), 0o700))
	db, err := sqldb.OpenSQLite(t.Context(), path)
	fail(err)
	defer func() { _ = db.Close() }()
	fail(sqldb.Migrate(t.Context(), db, "orders"))

	now := func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }
	logger := slog.New(slog.DiscardHandler)
	core := sqlstore.NewCore(sqlstore.Config{
		DB: db, Service: "test", Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: unheard{},
		Tracer: noop.NewTracerProvider().Tracer(""), Logger: logger, Now: now,
	})
	orders := sqlstore.NewOrders(core)
	fail(orders.Seed(t.Context(), []orderapp.Product{{SKU: "SKU-123", Name: "One", Price: 1200, Currency: "LKR"}}))
	place := orderapp.NewPlaceOrder(orders, sqlstore.NewCatalog(core), unheard{}, &numbered{}, now)
	sagas := engine.New(sqlstore.NewSagas(core), engine.Timeouts{Payment: time.Hour, Inventory: time.Hour}, unheard{}, "page", now)
	record := analytics.NewRecordEnd(sqlstore.NewAnalytics(core))
	for n := 1; n <= 3; n++ {
		answer, err := place.Handle(t.Context(), orderapp.Request{
			UserID: "usr_001", Currency: "LKR", PaymentMethod: "pm_card_ok", Items: []orderapp.Wish{{SKU: "SKU-123", Qty: n}},
		})
		fail(err)
		story := []messages.Message{
			&messages.OrderCreated{OrderID: answer.OrderID, UserID: "usr_001", Currency: "LKR", Total: int64(n) * 1200},
			&messages.PaymentSucceeded{OrderID: answer.OrderID}, &messages.InventoryReserved{OrderID: answer.OrderID},
		}
		if n == 2 {
			story = append(story[:1], &messages.PaymentFailed{OrderID: answer.OrderID, Reason: messages.ReasonPaymentDeclined})
		}
		for _, m := range story {
			fail(sagas.Handle(messages.WithCause(t.Context(), messages.Cause{
				Consumer: "orchestrator", MessageID: answer.OrderID + m.Name(), CorrelationID: answer.OrderID, Type: m.Name(),
			}), m))
		}
		var envelope messages.Envelope
		var payload []byte
		fail(db.GetContext(t.Context(), &payload, "SELECT payload FROM outbox WHERE event_type = 'OrderCompleted' AND aggregate_id = ?", answer.OrderID))
		fail(json.Unmarshal(payload, &envelope))
		var completed messages.OrderCompleted
		fail(json.Unmarshal(envelope.Data, &completed))
		fail(record.Handle(messages.WithCause(t.Context(), messages.Cause{Consumer: "order-service.order.events", MessageID: envelope.EventID}), &completed))
	}
	_, err = db.ExecContext(t.Context(), "DELETE FROM orders_by_user WHERE order_id = 'ord_3'")
	fail(err)
}
