package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"millrace/ports/cli"
)

// fakeOutbox has two databases, and says what it was asked.
type fakeOutbox struct{ access cli.Access }

func (f fakeOutbox) Status(context.Context) ([]cli.OutboxStatus, error) {
	if f.access != cli.ToRead {
		return nil, errors.New("it was opened to be changed")
	}
	return []cli.OutboxStatus{
		{Database: "orders", Services: []string{"orchestrator", "order-service"}, Pending: 3, OldestSeconds: 1.5, Published: 40, Dead: 2, LastDead: []cli.DeadRow{
			{ID: "e1", OrderID: "ord_1", EventType: "OrderCreated", Topic: "order.events", Reason: "message too\nlarge", DiedAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)},
		}},
		{Database: "payments", Services: []string{"payment-service"}, LastDead: []cli.DeadRow{}},
	}, nil
}

func (f fakeOutbox) Replay(_ context.Context, since time.Time) ([]cli.Replayed, error) {
	if f.access == cli.ToRead {
		return nil, errors.New("it was opened to be read")
	}
	age := "ever"
	if !since.IsZero() {
		age = today.Sub(since).Round(time.Minute).String()
	}
	fmt.Fprintln(os.Stderr, "replay", age)
	return []cli.Replayed{{Database: "orders", Services: []string{"orchestrator", "order-service"}, Rows: 40}, {Database: "payments", Services: []string{"payment-service"}}}, nil
}

func (f fakeOutbox) Revive(context.Context) ([]cli.Replayed, error) {
	if f.access == cli.ToRead {
		return nil, errors.New("it was opened to be read")
	}
	return []cli.Replayed{{Database: "orders", Services: []string{"orchestrator", "order-service"}, Rows: 2}}, nil
}
