package order_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/order"
)

var keyed = order.Request{UserID: "usr_1", Key: "k"}

// handled is what one request came to, and after how long.
type handled struct {
	err  error
	took time.Duration
}

// send has a request handled beside the test.
func send(ctx context.Context, p order.Placing, r order.Request) <-chan handled {
	done := make(chan handled, 1)
	begun := time.Now()
	go func() {
		_, err := p.Handle(ctx, r)
		done <- handled{err, time.Since(begun)}
	}()
	synctest.Wait()
	return done
}

func TestASecondRequestWithAKeyWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]error{"accepted": nil, "failed": errors.New("away")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &shop{entered: make(chan struct{}, 2), let: make(chan error, 1)}
				flight := order.NewInFlight(s)
				first, second := send(t.Context(), flight, keyed), send(t.Context(), flight, keyed)
				time.Sleep(time.Second)
				if n := len(s.entered); n != 1 {
					t.Fatalf("%d requests with the key are worked on at once", n)
				}
				s.let <- outcome
				if got := <-first; !errors.Is(got.err, outcome) {
					t.Errorf("the first came to %v, not %v", got.err, outcome)
				}
				s.let <- nil
				if got := <-second; got.err != nil || got.took != time.Second {
					t.Errorf("the second came to %v after %s", got.err, got.took)
				}
			})
		})
	}
}

func TestASecondRequestWithAKeyIsToldThatTheFirstRunsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{entered: make(chan struct{}, 4), let: make(chan error)}
		flight := order.NewInFlight(s)
		first := send(t.Context(), flight, keyed)
		if got := <-send(t.Context(), flight, keyed); !errors.Is(got.err, order.ErrInProgress) || got.took != 2*time.Second {
			t.Errorf("it came to %v after %s", got.err, got.took)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := <-send(impatient, flight, keyed); !errors.Is(got.err, context.DeadlineExceeded) || got.took != time.Second {
			t.Errorf("whoever waits a second only is told %v after %s", got.err, got.took)
		}
		others := []<-chan handled{
			send(t.Context(), flight, order.Request{UserID: "usr_2", Key: "k"}),
			send(t.Context(), flight, order.Request{UserID: "usr_1", Key: "l"}),
			send(t.Context(), flight, order.Request{UserID: "usr_1"}),
		}
		if n := len(s.entered); n != 4 {
			t.Errorf("%d of 4 are worked on: other keys and other users wait for nobody", n)
		}
		for range 4 {
			s.let <- nil
		}
		for _, one := range append(others, first) {
			if got := <-one; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}
