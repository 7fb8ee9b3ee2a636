package recovery

import (
	"context"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/psp"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/messages"
	"millrace/app/payment"
	"millrace/domain/intent"
	"millrace/ports/worker"
)

// slowAnswer keeps the provider's answer to the first capture back.
type slowAnswer struct {
	payment.Provider
	captured chan struct{} // closed when the money was taken
	release  chan struct{}
}

func (p slowAnswer) Capture(ctx context.Context, c payment.Charge) (payment.Fate, error) {
	f, err := p.Provider.Capture(ctx, c)
	close(p.captured)
	<-p.release
	return f, err
}

// outcomes hears how each attempt ended.
type outcomes chan string

func (o outcomes) IntentAttempted(_, outcome string, _ time.Duration) { o <- outcome }

// A lease that runs out while the provider takes its time gives the intent to another process. That
// one finds the charge by its key and settles it; the first one, when its answer comes, may not.
func TestALeaseThatRunsOutDuringACallIsSettledOnceByWhoHoldsItNow(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		s := newTill(t, open(t))
		begin := func(p *process, provider payment.Provider) (*sqlstore.Intents, outcomes, func()) {
			core := coreOn(s.db, messages.PaymentService)
			intents, seen := sqlstore.NewIntents(core), make(outcomes, 10)
			store := sqlstore.NewPayments(core, intents)
			if err := payment.NewCapturePayment(store).Handle(delivered(t.Context(), "m1"), &messages.OrderCreated{
				OrderID: orderID, UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 1, Price: 100}},
				Currency: "LKR", Total: 100, PaymentMethod: "pm_card_ok",
			}); err != nil {
				t.Fatal(err)
			}
			stop := p.work(t, intents, map[intent.Kind]worker.Handler{
				intent.Capture: payment.NewSettleCapture(store, store, provider, nobody{}).Handle,
			}, seen)
			return intents, seen, stop
		}
		honest := psp.NewInProcess(s.provider, time.Second)
		slow := slowAnswer{honest, make(chan struct{}), make(chan struct{})}
		busy := aliveUntil(0)
		busy.deaf = true // or it would be the one to claim its own intent again
		_, first, stopFirst := begin(busy, slow)
		defer stopFirst()
		wait(t, slow.captured)

		intents, second, stopSecond := begin(aliveUntil(0), honest) // the message comes to it again, and changes nothing
		defer stopSecond()
		if err := intents.Reclaim(t.Context()); err != nil { // the lease runs out
			t.Fatal(err)
		}
		if got := wait(t, second); got != "done" {
			t.Errorf("who holds it now ended with %s", got)
		}
		stopSecond()
		close(slow.release)
		if got := wait(t, first); got != "conflict" {
			t.Errorf("whose lease was over ended with %s", got)
		}
		if got, want := s.fate(t), (fate{"captured", 1, 0, 1, 0, 0}); got != want {
			t.Errorf("it ended as %+v, not %+v", got, want)
		}
	})
}

func wait[T any](t *testing.T, on <-chan T) T {
	t.Helper()
	select {
	case v := <-on:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
