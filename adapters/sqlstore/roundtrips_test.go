package sqlstore

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"millrace/adapters/sqldb"
	"millrace/app/messages"
	app "millrace/app/payment"
	"millrace/domain/payment"
)

// countingLine is a way to PostgreSQL that counts how often something is sent along it: a pipelined batch is one.
type countingLine struct {
	net.Listener
	sent atomic.Int64
}

func newCountingLine(t *testing.T, to string) *countingLine {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = at.Close() })
	l := &countingLine{Listener: at}
	go func() {
		for {
			here, err := at.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				t.Errorf("no way to PostgreSQL: %v", err)
				_ = here.Close()
				return
			}
			go func() { _, _ = io.Copy(here, there) }()
			go func() {
				defer func() { _ = there.Close() }()
				room := make([]byte, 1<<20) // more than any batch here
				for {
					n, err := here.Read(room)
					if err != nil {
						return
					}
					l.sent.Add(1)
					if _, err := there.Write(room[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l
}

// What a message does takes three round trips: beginning, inbox and what is read; all that is written; the
// commit. Each more would cost every order ten, and whoever waits for it the time.
func TestAMessageIsHandledInThreeRoundTrips(t *testing.T) {
	t.Parallel()
	direct := realPostgres(t, "payments")
	address, err := url.Parse(direct.DSN)
	if err != nil {
		t.Fatal(err)
	}
	line := newCountingLine(t, address.Host)
	address.Host = line.Addr().String()
	db, err := sqldb.OpenPostgresDSN(address.String(), direct.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	core := newCore(db)
	store := NewPayments(core, NewIntents(core))

	least := int64(math.MaxInt64) // statements are prepared once, and a connection that has rested is asked how it is
	for n := range 20 {
		orderID := fmt.Sprintf("ord_%d", n)
		line.sent.Store(0)
		ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "of " + orderID, CorrelationID: orderID})
		err := store.Do(ctx, func(tx app.Tx) error {
			known, err := tx.Payments(context.Background(), orderID)
			if err != nil {
				return err
			}
			if len(known) > 0 {
				t.Error("it is there already")
			}
			tx.Keep(payment.Bar(orderID))
			return tx.Publish(&messages.PaymentSucceeded{OrderID: orderID})
		})
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, line.sent.Load())
	}
	if least != 3 {
		t.Errorf("it took %d round trips, not three", least)
	}
}
