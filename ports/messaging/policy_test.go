package messaging_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/ports/messaging"
)

var (
	errAway    = fault.New(fault.Unavailable, "database_away", "the database is away")
	errMoved   = fault.New(fault.Conflict, "version_moved", "the state moved")
	errRefused = fault.New(fault.Invalid, "quantity_below_one", "the quantity is below one")
	errNoOrder = fault.New(fault.NotFound, "no_such_order", "there is no such order")
)

func TestAnOutageIsRetriedAndNeverDeadLettered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		attempts := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			if attempts++; time.Since(begin) < time.Hour {
				return errAway
			}
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if attempts < 100 || len(r.letters.all()) > 0 {
			t.Errorf("%d attempts and %d dead letters in an hour", attempts, len(r.letters.all()))
		}
		if waited := time.Since(begin); waited > time.Hour+11*time.Second {
			t.Errorf("back after %s", waited)
		}
	})
}

func TestAttemptsThatTimeOutAreAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(ctx context.Context, _ *messages.PaymentSucceeded) error {
			if ctx.Err() != nil {
				t.Error("an attempt began with a context that had ended")
			}
			if left, ok := deadline(ctx); !ok || left != 10*time.Second {
				t.Errorf("an attempt has %s", left)
			}
			if attempts++; attempts < 10 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if attempts != 10 || len(r.letters.all()) != 0 {
			t.Errorf("%d attempts, %d dead letters", attempts, len(r.letters.all()))
		}
	})
}

func deadline(ctx context.Context) (time.Duration, bool) {
	at, ok := ctx.Deadline()
	return time.Until(at), ok
}

func TestARefusalIsDeadLetteredAtOnce(t *testing.T) {
	t.Parallel()
	for _, refusal := range []*fault.Fault{errRefused, errNoOrder} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
				return refusal.Because(errors.New("seen by the shelf"))
			}))
			rec := good(t, paid)
			<-r.put(messages.PaymentEvents, rec).acked
			kept := r.letters.all()
			if len(kept) != 1 || time.Since(begin) != 0 {
				t.Fatalf("%d dead letters after %s", len(kept), time.Since(begin))
			}
			d := kept[0]
			if d.Reason != refusal.Code || d.Error != refusal.Detail+": seen by the shelf" || d.Attempts != 1 ||
				d.Service != "inventory-service" || d.Consumer != "inventory-service.payment.events" || d.Handler != "reserve_stock" ||
				d.Type != "PaymentSucceeded" || d.MessageID != eventID || d.OrderID != "ord_1" ||
				d.Topic != messages.PaymentEvents || d.Partition != 3 || d.Offset != 0 ||
				string(d.Key) != rec.key || string(d.Payload) != rec.value || !d.FirstAt.Equal(begin) || !d.LastAt.Equal(begin) {
				t.Errorf("the dead letter is %s", brief(kept))
			}
			if len(d.Headers) != len(rec.headers) || d.Headers["traceparent"] != rec.headers["traceparent"] {
				t.Errorf("its headers are %v, those of the record %v", d.Headers, rec.headers)
			}
			if !slices.Equal(r.seen.dead, []string{"reserve_stock"}) || !slices.Equal(r.seen.outcomes, []string{"reserve_stock dead"}) {
				t.Errorf("observed: %v %v", r.seen.dead, r.seen.outcomes)
			}
		})
	}
}

func TestAMistakeIsTriedFiveTimesWithDoublingDelays(t *testing.T) {
	t.Parallel()
	for _, mistake := range []error{errors.New("of ours"), errMoved} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var at []time.Duration
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
				at = append(at, time.Since(begin))
				return mistake
			}))
			<-r.put(messages.PaymentEvents, good(t, paid)).acked
			want := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}
			if !slices.Equal(at, want) {
				t.Errorf("tried at %v, not at %v", at, want)
			}
			kept := r.letters.all()
			if len(kept) != 1 || kept[0].Attempts != 5 || kept[0].Reason != fault.CodeOf(mistake) || kept[0].LastAt.Sub(kept[0].FirstAt) != 1500*time.Millisecond {
				t.Errorf("dead letters: %s", brief(kept))
			}
		})
	}
}

func TestDelaysAreMovedAtRandomSoThatMessagesThatFailTogetherDoNotComeBackTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		delays := map[int]map[time.Duration]bool{} // by retry: those that were seen
		for range 20 {
			var last time.Time
			attempts := 0
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
				if attempts > 0 {
					if delays[attempts] == nil {
						delays[attempts] = map[time.Duration]bool{}
					}
					delays[attempts][time.Since(last)] = true
				}
				last = time.Now()
				attempts++
				return errMoved
			}), func(c *messaging.Config) { c.Policy = messaging.Policy{} })
			<-r.put(messages.PaymentEvents, good(t, paid)).acked
		}
		middle := 100 * time.Millisecond
		for n := 1; n < 5; n++ {
			for d := range delays[n] {
				if d < middle/2 || d > middle*3/2 {
					t.Errorf("retry %d came after %s, around %s", n, d, middle)
				}
			}
			if len(delays[n]) < 10 {
				t.Errorf("retry %d of twenty messages came after %d different delays", n, len(delays[n]))
			}
			middle *= 2
		}
	})
}

func TestADeliveryIsMeasuredOnceWithAllItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			time.Sleep(50 * time.Millisecond)
			if attempts++; attempts < 3 {
				return errMoved
			}
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if want := []time.Duration{3*50*time.Millisecond + 300*time.Millisecond}; !slices.Equal(r.seen.took, want) || !slices.Equal(r.seen.outcomes, []string{"reserve_stock done"}) {
			t.Errorf("measured %v %v, not %v", r.seen.outcomes, r.seen.took, want)
		}
	})
}

func TestAConflictThatPassesLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			if attempts++; attempts < 3 {
				return errMoved
			}
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if attempts != 3 || len(r.letters.all()) != 0 || !slices.Equal(r.seen.outcomes, []string{"reserve_stock done"}) {
			t.Errorf("%d attempts, %s, %v", attempts, brief(r.letters.all()), r.seen.outcomes)
		}
	})
}

func TestAnOutageInBetweenDoesNotUseAttemptsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			if attempts++; attempts%2 == 1 {
				return errAway
			}
			return errors.New("of ours")
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if kept := r.letters.all(); len(kept) != 1 || kept[0].Attempts != 10 {
			t.Errorf("dead letters: %s", brief(kept))
		}
	})
}

func TestAPanicCountsAsAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			attempts++
			panic("the wheel is stuck")
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if kept := r.letters.all(); attempts != 5 || len(kept) != 1 || kept[0].Reason != "panic" || kept[0].Attempts != 5 {
			t.Errorf("%d attempts, dead letters %s", attempts, brief(kept))
		}
	})
}

func TestAMessageWhoseDeadLetterCannotBeKeptComesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { return errRefused }))
		r.letters.failures = []error{errAway, errors.New("disk full")}
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if kept := r.letters.all(); len(kept) != 1 || len(kept[0].Headers) != 3 {
			t.Errorf("dead letters: %s", brief(kept))
		}
		want := []string{"reserve_stock again", "reserve_stock again", "reserve_stock dead"}
		if !slices.Equal(r.seen.outcomes, want) || time.Since(begin) != 2*time.Second {
			t.Errorf("outcomes %v in %s", r.seen.outcomes, time.Since(begin))
		}
	})
}

func TestShutdownDeadLettersNothing(t *testing.T) {
	t.Parallel()
	t.Run("while it waits for the next attempt", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
				attempts++
				return errMoved
			}))
			p := r.put(messages.PaymentEvents, good(t, paid))
			synctest.Wait()
			r.stop()
			<-r.stopped
			expectGivenBack(t, r, p)
			if attempts != 1 {
				t.Errorf("%d attempts", attempts)
			}
		})
	})
	t.Run("when a handler gives up because of it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
				<-release
				return fault.Wrap(fault.Internal, "commit_failed", context.Canceled)
			}))
			p := r.put(messages.PaymentEvents, good(t, paid))
			synctest.Wait()
			r.stop()
			close(release)
			<-r.stopped
			expectGivenBack(t, r, p)
		})
	})
}

func expectGivenBack(t *testing.T, r *rig, p *place) {
	t.Helper()
	select {
	case <-p.acked:
		t.Error("the message was acknowledged")
	default:
	}
	if len(r.letters.all()) != 0 {
		t.Errorf("dead letters: %s", brief(r.letters.all()))
	}
}

func TestWorkInHandIsFinishedWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, finished := make(chan struct{}), false
		r := run(t, inventory(func(ctx context.Context, _ *messages.PaymentSucceeded) error {
			<-release
			if ctx.Err() != nil {
				t.Error("closing ended the context of work in hand")
			}
			finished = true
			return nil
		}))
		r.put(messages.PaymentEvents, good(t, paid))
		second := r.put(messages.PaymentEvents, good(t, paid))
		synctest.Wait()
		r.stop()
		synctest.Wait()
		select {
		case <-r.stopped:
			t.Error("it stopped with work in hand")
		default:
		}
		close(release)
		<-r.stopped
		if !finished {
			t.Error("work in hand was not finished")
		}
		select {
		case <-second.acked:
			t.Error("a new message was taken after the stop")
		default:
		}
	})
}

func TestStoppingWaitsNoLongerThanItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			<-release // deaf to its context
			return nil
		}))
		r.put(messages.PaymentEvents, good(t, paid))
		synctest.Wait()
		begin := time.Now()
		r.stop()
		<-r.stopped
		if took := time.Since(begin); took != 8*time.Second {
			t.Errorf("stopping took %s", took)
		}
		close(release)
	})
}

func TestAMessageOfALostPartitionIsNotStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := 0
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			started++
			return errMoved
		}))
		p := r.put(messages.PaymentEvents, good(t, paid))
		synctest.Wait() // it failed once and waits
		p.lose()
		next := good(t, paid)
		next.headers = nil
		done := r.put(messages.PaymentEvents, next)
		<-done.acked // the one behind it got to its own dead letter
		if started != 1+5 {
			t.Errorf("started %d times, not once and then five times for the message behind it", started)
		}
		if kept := r.letters.all(); len(kept) != 1 || kept[0].Offset != done.offset {
			t.Errorf("dead letters: %s", brief(kept))
		}
		want := []string{"reserve_stock again", "reserve_stock fenced", "reserve_stock dead"}
		if !slices.Equal(r.seen.outcomes, want) {
			t.Errorf("outcomes %v", r.seen.outcomes)
		}
		expect := p.acked
		select {
		case <-expect:
			t.Error("the message of a lost partition was acknowledged")
		default:
		}
	})
}

// The wait between two attempts ends with the session, and so with whatever ended that.
func TestAPartitionThatIsLostBetweenTwoAttemptsLeavesNoDeadLetter(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"an outage": errAway, "a time-out": context.DeadlineExceeded, "a mistake": errors.New("a mistake")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
					if attempts++; attempts == 1 {
						return failure
					}
					return nil
				}))
				p := r.put(messages.PaymentEvents, good(t, paid))
				synctest.Wait() // it waits for its second attempt
				p.lose()
				synctest.Wait()
				if attempts != 1 || len(r.letters.all()) != 0 {
					t.Errorf("%d attempts left %d dead letters", attempts, len(r.letters.all()))
				}
			})
		})
	}
}

func TestARouterSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	service := inventory(func(context.Context, *messages.PaymentSucceeded) error { return nil })
	if _, err := messaging.NewRouter(messaging.Config{}, service); err == nil {
		t.Error("a router was made of nothing")
	}
}
