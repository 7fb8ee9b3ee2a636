package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
)

func only(kind intent.Kind, h Handler) map[intent.Kind]Handler {
	return map[intent.Kind]Handler{kind: h}
}

func TestACommitWakesTheWorkerAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error { return m.settle(in) }), IntentOptions{})
		defer run(t, n.Run)()
		synctest.Wait()

		m.commit("ord_1", intent.Capture)
		synctest.Wait() // no time passes here

		if left := m.unsettled(); len(left) > 0 {
			t.Errorf("%v waits although its commit handed it over", left)
		}
	})
}

func TestASweepAtStartFindsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		for i := range 1000 { // more than one claim takes
			m.write(fmt.Sprint("ord_", i), intent.Capture)
		}
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error { return m.settle(in) }), IntentOptions{})
		defer run(t, n.Run)()
		synctest.Wait()

		if left := m.unsettled(); len(left) > 0 {
			t.Errorf("%d of 1000 wait", len(left))
		}
	})
}

func TestAnOutageIsTriedAgainWithGrowingPausesUntilItIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var at []time.Time
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			at = append(at, time.Now())
			if len(at) < 5 {
				return errAway
			}
			return m.settle(in)
		}), IntentOptions{})
		defer run(t, n.Run)()
		m.commit("ord_1", intent.Capture)
		time.Sleep(time.Minute)
		synctest.Wait()

		if len(at) != 5 {
			t.Fatalf("tried %d times", len(at))
		}
		for i := 1; i < len(at); i++ {
			pause, least := at[i].Sub(at[i-1]), intent.Backoff(i)
			if pause < least || pause > least+least/4+2*grain {
				t.Errorf("pause %d is %s, with a backoff of %s", i, pause, least)
			}
		}
	})
}

func TestWhatAFailureLeadsTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		err      error
		attempts int // within half a second: the first pause is over, the second is not
		buried   bool
	}{
		{"a conflict is dropped quietly", fault.New(fault.Conflict, "moved", "moved"), 1, false},
		{"an invalid act is buried", fault.New(fault.Invalid, "bad", "bad"), 1, true},
		{"an act on nothing is buried", fault.New(fault.NotFound, "gone", "gone"), 1, true},
		{"an outage is tried again", errAway, 2, false},
		{"an unclassified error is tried again", errOdd, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, tries := newMemory(), 0
				n := NewIntents(m, only(intent.Mail, func(context.Context, intent.Intent) error { tries++; return c.err }), IntentOptions{})
				defer run(t, n.Run)()
				m.commit("ord_1", intent.Mail)
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()

				if tries != c.attempts {
					t.Errorf("tried %d times, not %d", tries, c.attempts)
				}
				if got := m.get("ord_1:mail").buried != nil; got != c.buried {
					t.Errorf("buried: %t", got)
				}
			})
		})
	}
}

func TestAPanicIsOneFailedAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, tries := newMemory(), 0
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			if tries++; tries == 1 {
				panic("a mistake")
			}
			return m.settle(in)
		}), IntentOptions{})
		defer run(t, n.Run)()
		m.commit("ord_1", intent.Capture)
		time.Sleep(time.Second)
		synctest.Wait()

		if len(m.unsettled()) > 0 || tries != 2 {
			t.Errorf("%d attempts, unsettled: %v", tries, m.unsettled())
		}
	})
}

func TestASlowKindBlocksNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		stuck := make(chan struct{})
		n := NewIntents(m, map[intent.Kind]Handler{
			intent.Capture: func(context.Context, intent.Intent) error { <-stuck; return errAway },
			intent.Refund:  func(_ context.Context, in intent.Intent) error { return m.settle(in) },
		}, IntentOptions{Concurrency: 2, Queue: 3})
		for i := range 500 { // far more captures than there is room for, all due before the refund
			m.write(fmt.Sprint("ord_", i), intent.Capture)
		}
		swept := m.write("ord_swept", intent.Refund)
		stop := run(t, n.Run)
		synctest.Wait()
		m.commit("ord_committed", intent.Refund)
		synctest.Wait()

		if !m.get(swept.ID).done || !m.get("ord_committed:refund").done {
			t.Error("a refund waits behind captures")
		}
		close(stuck)
		stop()
	})
}

func TestAFullQueueNeverBlocksACommitAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			time.Sleep(time.Second)
			return m.settle(in)
		}), IntentOptions{Concurrency: 2, Queue: 2})
		defer run(t, n.Run)()
		synctest.Wait()
		for i := range 40 {
			m.commit(fmt.Sprint("ord_", i), intent.Capture)
		}
		synctest.Wait()
		if len(m.sent) > 0 {
			t.Errorf("%d commits wait for the worker", len(m.sent))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if left := m.unsettled(); len(left) > 0 {
			t.Errorf("lost: %v", left)
		}
	})
}

func TestNoMoreThanConcurrencyActsOfAKindRunAtOnceAndNoIntentTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var mu sync.Mutex
		running, most := map[string]bool{}, 0
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			mu.Lock()
			if running[in.ID] {
				t.Errorf("%s runs twice at once", in.ID)
			}
			running[in.ID] = true
			most = max(most, len(running))
			mu.Unlock()
			time.Sleep(lease + 5*time.Second) // longer than the lease: it is claimed again meanwhile
			mu.Lock()
			delete(running, in.ID)
			mu.Unlock()
			return m.settle(in)
		}), IntentOptions{Concurrency: 4, Deadline: time.Minute})
		defer run(t, n.Run)()
		for i := range 12 {
			m.commit(fmt.Sprint("ord_", i), intent.Capture)
		}
		time.Sleep(100 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most != 4 {
			t.Errorf("%d acts ran at once", most)
		}
	})
}

func TestAnIntentThatWaitedLongerThanItsLeaseIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		conflicts := 0
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			time.Sleep(10 * time.Second)
			err := m.settle(in)
			if err != nil {
				conflicts++
			}
			return err
		}), IntentOptions{Concurrency: 1})
		defer run(t, n.Run)()
		for i := range 10 { // the last waits 90 s for its slot, three leases long
			m.commit(fmt.Sprint("ord_", i), intent.Capture)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if left := m.unsettled(); len(left) > 0 || conflicts > 0 {
			t.Errorf("unsettled: %v, after %d conflicts", left, conflicts)
		}
	})
}

// deaf is a store of another process: it is handed nothing in memory.
type deaf struct{ *memory }

func (deaf) Committed() <-chan []intent.Intent { return nil }

// What cannot be taken back, such as a mail, must not be done by the process that an intent waited at for too long and
// by the one that has claimed it since.
func TestOfTwoProcessesOneCarriesOutWhatWaitedLongerThanItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var mu sync.Mutex
		acts := map[string]int{}
		slow := only(intent.Mail, func(_ context.Context, in intent.Intent) error {
			mu.Lock()
			acts[in.ID]++
			mu.Unlock()
			time.Sleep(7 * time.Second)
			return m.settle(in)
		})
		first := NewIntents(m, slow, IntentOptions{Concurrency: 1})
		second := NewIntents(deaf{m}, slow, IntentOptions{Concurrency: 1})
		// They look once a second, the second half a second before the first: when the leases are over, it is the second
		// that finds what waits at the first.
		defer run(t, second.Run)()
		time.Sleep(500 * time.Millisecond)
		defer run(t, first.Run)()
		time.Sleep(400 * time.Millisecond)
		for i := range 16 {
			m.commit(fmt.Sprint("ord_", i), intent.Mail)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for id, n := range acts {
			if n != 1 {
				t.Errorf("%s was done %d times", id, n)
			}
		}
		if left := m.unsettled(); len(left) > 0 || len(acts) != 16 {
			t.Errorf("%d were done, and unsettled are %v", len(acts), left)
		}
	})
}

func TestWhileNothingCanBeWrittenNoActIsBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		acts := 0
		n := NewIntents(m, only(intent.Mail, func(_ context.Context, in intent.Intent) error {
			acts++
			return m.settle(in)
		}), IntentOptions{Concurrency: 1})
		m.setAway(true)
		for i := range 10 {
			m.commit(fmt.Sprint("ord_", i), intent.Mail)
		}
		defer run(t, n.Run)()
		time.Sleep(2 * lease)
		if acts > 0 {
			t.Errorf("%d acts were begun, of which nothing can be written", acts)
		}
		m.setAway(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if left := m.unsettled(); len(left) > 0 || acts != 10 {
			t.Errorf("%d acts, unsettled: %v", acts, left)
		}
	})
}

func TestAnActThatOutlivedItsLeaseIsCarriedOutAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		start, tries := time.Now(), []time.Duration{}
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error {
			if tries = append(tries, time.Since(start)); len(tries) == 1 {
				time.Sleep(lease + 5*time.Second) // meanwhile a sweep claims it again, so this attempt cannot settle it
			}
			return m.settle(in)
		}), IntentOptions{Deadline: time.Minute})
		defer run(t, n.Run)()
		m.commit("ord_1", intent.Capture)
		time.Sleep(2 * lease)
		synctest.Wait()
		if len(m.unsettled()) > 0 || len(tries) != 2 || tries[1] != lease+5*time.Second {
			t.Errorf("tried at %v, unsettled: %v", tries, m.unsettled())
		}
	})
}

func TestTheEndWaitsForActsInHandAndGivesBackWhatOnlyWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		n := NewIntents(m, only(intent.Capture, func(ctx context.Context, in intent.Intent) error {
			time.Sleep(3 * time.Second)
			if ctx.Err() != nil {
				t.Error("the act in hand was cancelled within the grace")
			}
			return m.settle(in)
		}), IntentOptions{Concurrency: 1})
		stop := run(t, n.Run)
		m.commit("ord_1", intent.Capture)
		synctest.Wait()
		m.commit("ord_2", intent.Capture)
		synctest.Wait()
		stop()

		if !m.get("ord_1:capture").done {
			t.Error("the act in hand was not finished")
		}
		second := m.get("ord_2:capture")
		if second.done || second.due.After(time.Now()) {
			t.Errorf("what waited is done (%t) or due only at %s", second.done, second.due)
		}
	})
}

func TestTheEndCancelsActsWhenTheGraceIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		n := NewIntents(m, only(intent.Capture, func(ctx context.Context, _ intent.Intent) error {
			<-ctx.Done()
			return ctx.Err()
		}), IntentOptions{Grace: 2 * time.Second})
		stop := run(t, n.Run)
		m.commit("ord_1", intent.Capture)
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the end took %s", took)
		}
	})
}

func TestTheDatabaseAwayIsOneWarningAndNoLostIntent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, log := newMemory(), newJournal()
		n := NewIntents(m, only(intent.Capture, func(_ context.Context, in intent.Intent) error { return m.settle(in) }),
			IntentOptions{Logger: slog.New(log)})
		m.setAway(true)
		in := m.write("ord_1", intent.Capture)
		defer run(t, n.Run)()
		time.Sleep(time.Minute)
		m.setAway(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !m.get(in.ID).done {
			t.Error("the intent was not found when the database was back")
		}
		if w := log.count(slog.LevelWarn); w != 1 {
			t.Errorf("%d warnings", w)
		}
	})
}

func TestAHandlerGetsDeadlineCauseAndTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		var outcomes atomic.Value
		n := NewIntents(m, only(intent.Capture, func(ctx context.Context, in intent.Intent) error {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) != 7*time.Second {
				t.Errorf("deadline in %s", time.Until(deadline))
			}
			want := messages.Cause{Seed: "ord_1:capture", CausationID: "evt_1", CorrelationID: "ord_1"}
			if got := messages.CauseOf(ctx); got != want {
				t.Errorf("cause %+v", got)
			}
			return m.settle(in)
		}), IntentOptions{Deadline: 7 * time.Second, Tracer: provider, Observer: observed(func(kind, outcome string) { outcomes.Store(kind + " " + outcome) })})
		in := m.write("ord_1", intent.Capture)
		m.rows[in.ID].in.Cause = "evt_1"
		m.rows[in.ID].in.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		stop := run(t, n.Run)
		synctest.Wait()
		stop()

		ended := spans.Ended()
		if len(ended) != 1 || ended[0].Name() != "intent capture" || ended[0].Parent().SpanID().String() != "b7ad6b7169203331" ||
			ended[0].SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("spans %v", ended)
		}
		if outcomes.Load() != "capture done" {
			t.Errorf("observed %v", outcomes.Load())
		}
	})
}

type observed func(kind, outcome string)

func (o observed) IntentAttempted(kind, outcome string, _ time.Duration) { o(kind, outcome) }
