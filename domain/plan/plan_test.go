package plan_test

import (
	"errors"
	"testing"
	"time"

	"millrace/domain/plan"
)

// run is a run of ten items with a clock that the test moves.
func run(p plan.Pace) (*plan.Throttle, func(time.Duration)) {
	at := time.Unix(0, 0)
	return plan.NewThrottle(p, 10, func() time.Time { return at }), func(d time.Duration) { at = at.Add(d) }
}

func begin(throttle *plan.Throttle) (n int) {
	for ; n < 10 && throttle.May(); n++ {
		throttle.Begun(false)
	}
	return n
}

func TestTheCanaryIsAwaitedBeforeTheRest(t *testing.T) {
	t.Parallel()
	throttle, _ := run(plan.Pace{Canary: 2})
	if n := begin(throttle); n != 2 {
		t.Fatalf("%d were begun before the canary was heard of", n)
	}
	throttle.Ended(plan.Verified)
	if throttle.May() {
		t.Error("one was begun with one of two heard of")
	}
	throttle.Ended(plan.Verified)
	if n := begin(throttle); n != 10 {
		t.Errorf("%d were begun behind a canary that went well", n)
	}
	throttle.Ended(plan.FailedAgain)
	if why := throttle.Stopped(); why != "" {
		t.Errorf("a failure behind the canary was taken for the canary's: %s", why)
	}
}

func TestAnotherItemTakesThePlaceOfACanaryThatWasTakenAway(t *testing.T) {
	t.Parallel()
	throttle, _ := run(plan.Pace{Canary: 2})
	begin(throttle)
	throttle.Ended(plan.Skipped)
	if n := begin(throttle); n != 1 {
		t.Fatalf("%d took the place of the one", n)
	}
	throttle.Ended(plan.Verified)
	throttle.Ended(plan.Verified)
	if n := begin(throttle); n != 10 {
		t.Errorf("%d were begun behind a canary that went well", n)
	}
}

func TestACanaryThatDoesNotGoWellIsTheEnd(t *testing.T) {
	t.Parallel()
	for _, outcome := range []string{plan.FailedAgain, plan.TimedOut} {
		throttle, _ := run(plan.Pace{Canary: 2})
		begin(throttle)
		throttle.Ended(plan.Verified)
		throttle.Ended(outcome)
		if throttle.May() || throttle.Stopped() == "" {
			t.Errorf("the rest was begun behind a canary that was %s", outcome)
		}
	}
}

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	throttle, pass := run(plan.Pace{PerSecond: 2})
	throttle.Begun(true)
	if n := begin(throttle); n != 1 {
		t.Errorf("%d were begun at once", n)
	}
	pass(time.Second)
	if n := begin(throttle); n != 2 {
		t.Errorf("%d were begun in a second", n)
	}
}

func TestMoreFailuresThanTheShareStopIt(t *testing.T) {
	t.Parallel()
	throttle, _ := run(plan.Pace{StopAt: 0.2})
	for range 2 {
		throttle.Ended(plan.FailedAgain)
	}
	if !throttle.May() {
		t.Error("two of ten are not more than a fifth")
	}
	if throttle.Ended(plan.TimedOut); throttle.May() || throttle.Stopped() != "stopped: 3 of 10 have failed" {
		t.Errorf("three of ten are: %q", throttle.Stopped())
	}
}

func TestNoMoreAreOpenThanWouldStopTheRunIfAllOfThemFailed(t *testing.T) {
	t.Parallel()
	throttle, _ := run(plan.Pace{StopAt: 0.2})
	if n := begin(throttle); n != 3 {
		t.Fatalf("%d of ten were begun, and three failures are more than a fifth", n)
	}
	if throttle.Ended(plan.Verified); begin(throttle) != 1 {
		t.Error("one that went well gives its place to the next")
	}
	if throttle.Ended(plan.FailedAgain); throttle.May() {
		t.Error("two are open and one has failed: that is three")
	}
	if throttle.Ended(plan.Skipped); begin(throttle) != 1 {
		t.Error("one that was taken away gives its place to the next")
	}
}

func TestAFewAreOpenAtMostHoweverManyErrorsAreAllowed(t *testing.T) {
	t.Parallel()
	for _, p := range []plan.Pace{{StopAt: 0.5}, {StopAt: 1, PerSecond: 1000}} {
		at := time.Unix(0, 0)
		throttle := plan.NewThrottle(p, 1000, func() time.Time { return at })
		at = at.Add(time.Second)
		n := 0
		for ; n < 100 && throttle.May(); n++ {
			throttle.Begun(false)
		}
		if n != 20 {
			t.Errorf("%d were begun before anything was heard, with %+v", n, p)
		}
	}
}

func TestRatesAndSharesAreRead(t *testing.T) {
	t.Parallel()
	if rate, err := plan.ParseRate("20/s"); err != nil || rate != 20 {
		t.Errorf("20/s is %v, %v", rate, err)
	}
	if share, err := plan.ParseShare("2%"); err != nil || share != 0.02 {
		t.Errorf("2%% is %v, %v", share, err)
	}
	for _, bad := range []string{"fast", "0", "-1/s", "NaN"} {
		if _, err := plan.ParseRate(bad); !errors.Is(err, plan.ErrPace) {
			t.Errorf("the rate %q is %v", bad, err)
		}
	}
	for _, bad := range []string{"2", "0%", "101%", "NaN%", "%"} {
		if _, err := plan.ParseShare(bad); !errors.Is(err, plan.ErrPace) {
			t.Errorf("the share %q is %v", bad, err)
		}
	}
}

func TestASealFollowsFromThePlan(t *testing.T) {
	t.Parallel()
	type shape struct {
		A int `json:"a"`
	}
	one, _ := plan.Seal(shape{1})
	two, _ := plan.Seal(shape{2})
	if one == two || len(one) != 64 {
		t.Errorf("the seals are %s and %s", one, two)
	}
	for _, text := range []string{"", `{"a":1,"b":2}`, `{"a":1}{}`, `[]`} {
		if err := plan.Read([]byte(text), &shape{}); !errors.Is(err, plan.ErrAltered) {
			t.Errorf("%q was read: %v", text, err)
		}
	}
}
