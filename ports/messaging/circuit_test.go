package messaging_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

// gate is a circuit that a test opens and closes. Only what holds a permit is inside.
type gate struct {
	open   chan struct{} // closed: whoever stands before it may enter
	probes chan struct{} // one enters for each value
	left   []error       // how each attempt ended; read when all are over
}

type permitKey struct{}

var created = &messages.OrderCreated{
	OrderID: "ord_1", UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 3}}, Currency: "LKR", Total: 6, PaymentMethod: "pm_card_ok",
}

func newGate() *gate { return &gate{open: make(chan struct{}), probes: make(chan struct{})} }

func (g *gate) Enter(ctx context.Context) (context.Context, func(error), error) {
	select {
	case <-g.open:
	case <-g.probes:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	return context.WithValue(ctx, permitKey{}, true), func(err error) { g.left = append(g.left, err) }, nil
}

func withGate(g *gate) func(*messaging.Config) {
	return func(c *messaging.Config) { c.Circuit = g }
}

func TestWhileTheDatabaseIsAwayNoHandlerIsStartedAndNoAttemptIsUsedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, attempts := newGate(), 0
		r := run(t, inventory(func(ctx context.Context, _ *messages.PaymentSucceeded) error {
			if attempts++; ctx.Value(permitKey{}) == nil {
				t.Error("the handler runs outside of the circuit")
			}
			if attempts < 5 {
				return errMoved // the fifth would be the last
			}
			return nil
		}), withGate(g))
		p := r.put(messages.PaymentEvents, good(t, paid))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if attempts != 0 || len(r.seen.ended()) != 0 {
			t.Fatalf("%d attempts and outcomes %v while the circuit was open", attempts, r.seen.outcomes)
		}
		close(g.open)
		<-p.acked
		if attempts != 5 || len(r.letters.all()) != 0 || !slices.Equal(r.seen.outcomes, []string{"reserve_stock done"}) {
			t.Errorf("%d attempts, %v, dead letters %s", attempts, r.seen.outcomes, brief(r.letters.all()))
		}
	})
}

func TestOneMessageGoesThroughAsTheProbeAndTellsHowItEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, started := newGate(), 0
		r := run(t, messaging.Service{Name: "payment-service", Handlers: []messaging.Handler{
			messaging.On("take_payment", func(context.Context, *messages.OrderCreated) error { started++; return errAway }),
			messaging.On("refund_payment", func(context.Context, *messages.RefundPayment) error { started++; return errAway }),
		}}, withGate(g))
		r.put(messages.OrderEvents, good(t, created))
		r.put(messages.PaymentCommands, good(t, &messages.RefundPayment{OrderID: "ord_2", Reason: "out_of_stock"}))
		synctest.Wait()
		g.probes <- struct{}{}
		time.Sleep(time.Hour)
		synctest.Wait()
		if started != 1 || len(g.left) != 1 || !errors.Is(g.left[0], errAway) {
			t.Errorf("%d were started by one probe, which ended with %v", started, g.left)
		}
		if len(r.letters.all()) != 0 {
			t.Errorf("dead letters: %s", brief(r.letters.all()))
		}
	})
}

func TestTheWaitForADatabaseEndsWhenThePartitionIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			t.Error("the message of a lost partition was started")
			return nil
		}), withGate(newGate()))
		p := r.put(messages.PaymentEvents, good(t, paid))
		time.Sleep(time.Hour) // far longer than a rebalance waits: nobody asked for one
		synctest.Wait()
		begin := time.Now()
		p.lose()
		synctest.Wait()
		if !slices.Equal(r.seen.ended(), []string{"reserve_stock again"}) || time.Since(begin) != 0 {
			t.Errorf("after %s the outcomes are %v", time.Since(begin), r.seen.ended())
		}
		time.Sleep(2 * time.Second) // it is delivered once more, and dropped
		synctest.Wait()
		if !slices.Equal(r.seen.ended(), []string{"reserve_stock again", "reserve_stock fenced"}) {
			t.Errorf("outcomes %v", r.seen.ended())
		}
		expectGivenBack(t, r, p)
	})
}

func TestStoppingDoesNotWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { return nil }), withGate(newGate()))
		p := r.put(messages.PaymentEvents, good(t, paid))
		synctest.Wait()
		begin := time.Now()
		r.stop()
		<-r.stopped
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %s", took)
		}
		expectGivenBack(t, r, p)
	})
}
