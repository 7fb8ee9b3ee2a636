package worker

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestPeriodicRunsAtOnceThenEveryIntervalAndNeverOverlaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Periodic(ctx, 10*time.Second, 0, func(context.Context) {
				at = append(at, time.Since(start))
				time.Sleep(3 * time.Second)
			})
		}()
		time.Sleep(27 * time.Second)
		cancel()
		<-ended
		if len(at) != 3 || at[0] != 0 || at[1] != 13*time.Second || at[2] != 26*time.Second {
			t.Errorf("ran at %v", at)
		}
	})
}

func TestAChoreThatFailsIsLoggedWhenItStartsToFailAndWhenItWorksAgain(t *testing.T) {
	t.Parallel()
	log, fails := newJournal(), true
	chore := Logged(slog.New(log), "cleaning up", func(context.Context) error {
		if fails {
			return errOdd
		}
		return nil
	})
	for range 5 {
		chore(t.Context())
	}
	fails = false
	for range 5 {
		chore(t.Context())
	}
	if log.count(slog.LevelWarn) != 1 || log.count(slog.LevelInfo) != 1 {
		t.Errorf("log lines by level: %v", log.lines)
	}
}

func TestAChoreThatPanicsIsAFailureAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	log := newJournal()
	Logged(slog.New(log), "cleaning up", func(context.Context) error { panic("a mistake") })(t.Context())
	if log.count(slog.LevelWarn) != 1 {
		t.Errorf("log lines by level: %v", log.lines)
	}
}
