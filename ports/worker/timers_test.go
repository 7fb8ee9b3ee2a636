package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/sagas/engine"
)

func timerOf(i int) engine.DueTimer {
	return engine.DueTimer{OrderID: fmt.Sprint("ord_", i), Name: "payment", Entry: 1}
}

func TestATimerFiresWhenItsTimeHasComeAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, start := newClock(), time.Now()
		fired := make(chan time.Duration, 9)
		timers := NewTimers(c, func(_ context.Context, timer engine.DueTimer) error {
			fired <- time.Since(start)
			c.clear(timer)
			return nil
		}, TimerOptions{})
		defer run(t, timers.Run)()
		c.set(timerOf(1), 2300*time.Millisecond)

		if at := <-fired; at != 2300*time.Millisecond {
			t.Errorf("fired after %s", at)
		}
		time.Sleep(time.Minute)
		if len(fired) > 0 {
			t.Error("fired twice")
		}
	})
}

func TestATimerThatAnotherProcessSetIsSeenWithinAPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, fired := newClock(), make(chan time.Time, 1)
		timers := NewTimers(c, func(_ context.Context, timer engine.DueTimer) error {
			c.clear(timer)
			fired <- time.Now()
			return nil
		}, TimerOptions{})
		defer run(t, timers.Run)()
		c.set(timerOf(1), time.Hour)
		time.Sleep(10*time.Second + 300*time.Millisecond)
		set := time.Now()
		c.set(timerOf(2), 0)
		if late := (<-fired).Sub(set); late > time.Second {
			t.Errorf("%s late", late)
		}
	})
}

func TestATimerThatFailsIsTriedAgainAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var mu sync.Mutex
		tries := make(map[engine.DueTimer]int)
		timers := NewTimers(c, func(_ context.Context, timer engine.DueTimer) error {
			mu.Lock()
			defer mu.Unlock()
			tries[timer]++
			switch {
			case timer.Name == "poison" && tries[timer]%2 == 0:
				panic("a mistake")
			case timer.Name == "poison":
				return errOdd
			}
			c.clear(timer)
			return nil
		}, TimerOptions{Batch: 2})
		for i := range 4 { // twice a batch
			c.set(engine.DueTimer{OrderID: fmt.Sprint("ord_", i), Name: "poison"}, 0)
		}
		defer run(t, timers.Run)()
		time.Sleep(5 * time.Second)
		c.set(timerOf(9), 0)
		time.Sleep(5 * time.Second)
		synctest.Wait()

		mu.Lock()
		defer mu.Unlock()
		if tries[timerOf(9)] != 1 {
			t.Errorf("the healthy timer was fired %d times", tries[timerOf(9)])
		}
		if n := tries[engine.DueTimer{OrderID: "ord_0", Name: "poison"}]; n < 3 || n > 11 {
			t.Errorf("the failing timer was tried %d times in ten seconds", n)
		}
	})
}

func TestATimerThatStaysDueAfterFiringDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		timers := NewTimers(c, func(context.Context, engine.DueTimer) error { return nil }, TimerOptions{})
		c.set(timerOf(1), 0)
		stop := run(t, timers.Run)
		time.Sleep(10 * time.Second)
		stop()
		if c.looks > 13 {
			t.Errorf("%d looks in ten seconds", c.looks)
		}
	})
}

func TestTheDatabaseAwayIsAskedLessAndLessAndWarnedOfOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, log := newClock(), newJournal()
		c.away = true
		timers := NewTimers(c, func(_ context.Context, timer engine.DueTimer) error { c.clear(timer); return nil }, TimerOptions{Logger: slog.New(log)})
		c.set(timerOf(1), 0)
		defer run(t, timers.Run)()
		time.Sleep(time.Minute)
		c.mu.Lock()
		looks := c.looks
		c.away = false
		c.mu.Unlock()
		if looks > 10 {
			t.Errorf("%d looks in a minute", looks)
		}
		time.Sleep(longestBackoff)
		synctest.Wait()
		if len(c.timers) > 0 {
			t.Error("the timer was not fired when the database was back")
		}
		if w := log.count(slog.LevelWarn); w != 1 {
			t.Errorf("%d warnings", w)
		}
	})
}

func TestFiringIsBoundedAndTheEndWaitsForWhatIsInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var mu sync.Mutex
		running, most, finished := 0, 0, 0
		timers := NewTimers(c, func(ctx context.Context, timer engine.DueTimer) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(2 * time.Second)
			mu.Lock()
			running--
			if ctx.Err() == nil {
				finished++
			}
			mu.Unlock()
			c.clear(timer)
			return nil
		}, TimerOptions{Concurrency: 3})
		for i := range 9 {
			c.set(timerOf(i), 0)
		}
		stop := run(t, timers.Run)
		time.Sleep(time.Second)
		stop()
		if most != 3 || finished != 3 || running != 0 {
			t.Errorf("at most %d at once, %d finished, %d still running", most, finished, running)
		}
	})
}
