package sqldb

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// states collects what a circuit says about itself.
type states struct {
	mu  sync.Mutex
	all []string
}

func (s *states) hear(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, state)
}

func (s *states) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// opened gives a circuit that has just opened, by errors of one kind.
func opened(t *testing.T, by error) (*Circuit, *states) {
	t.Helper()
	heard := &states{}
	c := NewCircuit(CircuitConfig{OnState: heard.hear})
	for range 5 {
		if err := c.Guard(t.Context(), func() error { return by }); !errors.Is(err, by) {
			t.Fatalf("guarding gave %v, not %v", err, by)
		}
	}
	return c, heard
}

func TestADatabaseThatIsAwayFiveTimesInARowIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, away := range []error{ErrAway, ErrFull, ErrReadOnly, context.DeadlineExceeded} {
		c, heard := opened(t, away)
		called := false
		err := c.Guard(t.Context(), func() error { called = true; return nil })
		if called || !errors.Is(err, ErrAway) {
			t.Errorf("%v: the next one was called: %t, and got %v", away, called, err)
		}
		if got := heard.heard(); !slices.Equal(got, []string{"open"}) {
			t.Errorf("%v: it said %v", away, got)
		}
	}
}

func TestADatabaseThatAnswersIsNotAwayWhateverItSays(t *testing.T) {
	t.Parallel()
	for _, answer := range []error{ErrBusy, ErrRetry, ErrTaken, ErrRefused, errors.New("a rule said no"), context.Canceled} {
		c, heard := opened(t, answer)
		if err := c.Guard(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("after five times %v the next one was turned away: %v", answer, err)
		}
		if got := heard.heard(); len(got) > 0 {
			t.Errorf("%v: it said %v", answer, got)
		}
	}
}

func TestAnAnswerInBetweenKeepsTheCircuitClosed(t *testing.T) {
	t.Parallel()
	c := NewCircuit(CircuitConfig{})
	for i := range 50 {
		err := error(ErrAway)
		if i%5 == 4 {
			err = nil
		}
		if got := c.Guard(t.Context(), func() error { return err }); !errors.Is(got, err) {
			t.Fatalf("call %d gave %v", i, got)
		}
	}
}

func TestWhoEntersWaitsWhileItIsOpenAndOneProbeGoesThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, heard := opened(t, ErrAway)
		begin := time.Now()
		var mu sync.Mutex
		var entered []time.Duration
		var inside, most int
		back := false
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for {
					attempt, leave, err := c.Enter(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					entered = append(entered, time.Since(begin))
					inside++
					if !back {
						most = max(most, inside)
					}
					back = time.Since(begin) > 4*time.Second
					result := error(ErrAway)
					if back {
						result = nil
					}
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
					mu.Lock()
					inside--
					mu.Unlock()
					leave(c.Guard(attempt, func() error { return result }))
					if result == nil {
						return
					}
				}
			})
		}
		all.Wait()
		if most != 1 {
			t.Errorf("%d went in at once while the database was away", most)
		}
		probes := 0
		for _, at := range entered {
			if at < 4*time.Second {
				probes++
			}
		}
		if probes != 3 || len(entered) != probes+100 { // every 1.1 s, from 1 s on
			t.Errorf("%d probes of %d in four seconds", probes, len(entered))
		}
		if last := entered[len(entered)-1]; last > 4600*time.Millisecond {
			t.Errorf("it was %s before all were in", last)
		}
		want := []string{"open", "half-open", "open", "half-open", "open", "half-open", "open", "half-open", "closed"}
		if got := heard.heard(); !slices.Equal(got, want) {
			t.Errorf("it said %v", got)
		}
	})
}

func TestWaitingAtTheCircuitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := opened(t, ErrAway)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, _, err := c.Enter(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 10*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		over, end := context.WithCancel(t.Context())
		end()
		time.Sleep(2 * time.Second) // it would be let through
		if _, _, err := c.Enter(over); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is over: %v", err)
		}
	})
}

func TestAProbeThatGivesUpLeavesItsTurnToAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := opened(t, ErrAway)
		time.Sleep(2 * time.Second)
		_, leave, err := c.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second := make(chan error)
		go func() {
			attempt, leave, err := c.Enter(t.Context())
			if err == nil {
				leave(c.Guard(attempt, func() error { return nil }))
			}
			second <- err
		}()
		synctest.Wait() // it waits behind the probe
		leave(context.Canceled)
		if err := <-second; err != nil {
			t.Error(err)
		}
		if err := c.Guard(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("it did not close: %v", err)
		}
	})
}

func TestAProbeThatNeverAskedTheDatabaseDoesNotCloseTheCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, heard := opened(t, ErrAway)
		time.Sleep(2 * time.Second)
		for _, ended := range []error{nil, errors.New("not an envelope"), context.DeadlineExceeded} {
			_, leave, err := c.Enter(t.Context()) // such as a message that is garbage, or known to the cache
			if err != nil {
				t.Fatal(err)
			}
			leave(ended)
		}
		if got := heard.heard(); !slices.Equal(got, []string{"open", "half-open"}) {
			t.Errorf("it said %v", got)
		}
		if err := c.Guard(t.Context(), func() error { return nil }); err != nil || !c.Closed() {
			t.Errorf("the first that asked did not close it: %v", err)
		}
	})
}

func TestAnAttemptThatNeverAskedTheDatabaseIsNoAnswerInBetween(t *testing.T) {
	t.Parallel()
	heard := &states{}
	c := NewCircuit(CircuitConfig{OnState: heard.hear})
	for range 4 {
		_ = c.Guard(t.Context(), func() error { return ErrAway })
	}
	_, leave, err := c.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave(nil)
	_ = c.Guard(t.Context(), func() error { return ErrAway })
	if got := heard.heard(); !slices.Equal(got, []string{"open"}) {
		t.Errorf("after five failures with garbage in between it said %v", got)
	}
}

func TestWhoIsInsideIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := opened(t, ErrAway)
		time.Sleep(2 * time.Second)
		inside, leave, err := c.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Guard(inside, func() error { return nil }); err != nil {
			t.Errorf("the probe was turned away at the database: %v", err)
		}
		if err := c.Guard(t.Context(), func() error { return nil }); !errors.Is(err, ErrAway) {
			t.Errorf("somebody else got in beside the probe: %v", err)
		}
		other := NewCircuit(CircuitConfig{After: 1})
		if err := other.Guard(inside, func() error { return ErrAway }); !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
		if err := other.Guard(inside, func() error { return nil }); !errors.Is(err, ErrAway) {
			t.Errorf("the permit of one database opened the door of another: %v", err)
		}
		leave(nil)
	})
}

func TestAPanicInsideLeavesTheCircuitUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := opened(t, ErrAway)
		time.Sleep(2 * time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = c.Guard(t.Context(), func() error { panic("a mistake") })
		}()
		if err := c.Guard(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("the probe that panicked holds its turn for ever: %v", err)
		}
	})
}

func TestNoCircuitGuardsNothing(t *testing.T) {
	t.Parallel()
	var c *Circuit
	for range 10 {
		if err := c.Guard(t.Context(), func() error { return ErrAway }); !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
	}
}
