package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/ports/cli"
)

type benchReport struct {
	Orders, Accepted, Refused, Completed, Failed int
	AcceptedPerSecond, CompletedPerSecond        float64
	Accept, Confirm                              struct{ P50, P90, P99 float64 }
}

// bench runs a load against a fake gateway, in the test's own time.
func bench(t *testing.T, f *fakeAPI, args ...string) (benchReport, int, string) {
	t.Helper()
	var out, words bytes.Buffer
	code := cli.Run(context.Background(), append([]string{"bench", "--json", "--url", "http://gateway.invalid"}, args...), cli.Deps{
		Stdout: &out, Stderr: &words, HTTP: &http.Client{Transport: f},
	})
	var r benchReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil && out.Len() > 0 {
		t.Fatal(err)
	}
	return r, code, words.String()
}

func TestLatencyIsExactHoweverSeldomItIsLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, code, words := bench(t, &fakeAPI{accepting: 10 * time.Millisecond, ending: 33 * time.Millisecond}, "--orders", "300", "--concurrency", "7")
		if code != cli.Done || r.Completed != 300 || r.Failed != 0 {
			t.Fatalf("%+v, exit %d: %s", r, code, words)
		}
		if r.Accept.P50 != 10 || r.Accept.P99 != 10 || r.Confirm.P50 != 43 || r.Confirm.P99 != 43 {
			t.Errorf("%+v", r)
		}
		if r.AcceptedPerSecond < 690 || r.AcceptedPerSecond > 710 { // 7 at a time, 10 ms each
			t.Errorf("accepted %v/s", r.AcceptedPerSecond)
		}
	})
}

// A system that stands still must not look fast because nobody asked it meanwhile.
func TestWithARateLatencyCountsFromWhenTheOrderShouldHaveBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, code, words := bench(t, &fakeAPI{accepting: 300 * time.Millisecond}, "--orders", "10", "--concurrency", "1", "--rate", "10")
		// The n-th should begin at n × 100 ms and is answered at (n+1) × 300.
		if code != cli.Done || r.Accept.P99 != 9*200+300 || r.Accept.P50 != 4*200+300 || r.Confirm.P99 != 9*200+300 {
			t.Errorf("%+v, exit %d: %s", r, code, words)
		}
	})
}

func TestMaxOpenBoundsTheOrdersUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAPI{accepting: time.Millisecond, ending: 100 * time.Millisecond}
		r, code, words := bench(t, f, "--orders", "60", "--concurrency", "20", "--max-open", "5")
		if code != cli.Done || r.Completed != 60 || f.mostOpen > 5 || f.mostOpen < 4 {
			t.Errorf("%+v, %d open at once, exit %d: %s", r, f.mostOpen, code, words)
		}
	})
}

func TestWhereCountersTellOrdersAreAskedForOnceAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAPI{accepting: time.Millisecond, ending: 100 * time.Millisecond, handling: 50 * time.Millisecond}
		r, code, words := bench(t, f, "--orders", "600", "--concurrency", "60", "--max-open", "50", "--handled-at", "http://notification.invalid")
		if code != cli.Done || r.Completed != 600 || r.Confirm.P50 != 101 || f.mostOpen > 50 || f.mostOpen < 45 {
			t.Errorf("%+v, %d open at once, exit %d: %s", r, f.mostOpen, code, words)
		}
		if f.lists > 4 {
			t.Errorf("%d pages were asked for, 3 hold all orders", f.lists)
		}
		if r.CompletedPerSecond > 50/0.151 {
			t.Errorf("completed %v/s: 50 under way, each for 151 ms, make no more than 331", r.CompletedPerSecond)
		}
	})
}

func TestCountersThatBeginAnewAreNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAPI{ending: 100 * time.Millisecond, anew: 250 * time.Millisecond}
		began := time.Now()
		r, code, words := bench(t, f, "--orders", "60", "--concurrency", "20", "--max-open", "10", "--handled-at", "http://notification.invalid")
		if code != cli.Done || r.Completed != 60 || f.mostOpen > 10 || time.Since(began) > 5*time.Second {
			t.Errorf("%+v, %d open at once, exit %d after %v", r, f.mostOpen, code, time.Since(began))
		}
		if !strings.Contains(words, "started anew meanwhile: completed is what the saga decided") {
			t.Errorf("it says %q", words)
		}
	})
}

func TestABurstIsFollowedPageByPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAPI{ending: 3 * time.Second}
		r, code, words := bench(t, f, "--orders", "1500", "--concurrency", "50")
		if code != cli.Done || r.Completed != 1500 || r.Confirm.P50 != 3000 {
			t.Errorf("%+v, exit %d: %s", r, code, words)
		}
		if f.lists > 200 {
			t.Errorf("%s pages were asked for", strconv.Itoa(f.lists))
		}
	})
}

func TestAnOrderThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, code, words := bench(t, &fakeAPI{}, "--orders", "4", "--concurrency", "2", "--max-open", "3", "--payment", "pm_never", "--patience", "5s")
		if code != cli.Found || r.Accepted != 3 || r.Failed != 4 || r.Completed != 0 || time.Since(began) > 6*time.Second {
			t.Errorf("%+v, exit %d: %s", r, code, words)
		}
	})
}

func TestCompletedIsWhatHasBeenHandledByAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		handling  time.Duration
		completed int
		rate      float64
	}{
		{"soon after", 800 * time.Millisecond, 20, 20},
		{"never", -1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fakeAPI{ending: 200 * time.Millisecond, handling: c.handling}
				r, code, words := bench(t, f, "--orders", "20", "--concurrency", "20", "--patience", "5s", "--handled-at", "http://notification.invalid")
				if r.Completed != c.completed || r.Failed != 20-c.completed || (code == cli.Done) != (c.completed == 20) {
					t.Errorf("%+v, exit %d: %s", r, code, words)
				}
				if r.CompletedPerSecond < c.rate*0.95 || r.CompletedPerSecond > c.rate {
					t.Errorf("completed %v/s, not %v", r.CompletedPerSecond, c.rate)
				}
				if r.Confirm.P50 != 200 {
					t.Errorf("confirmed after %v ms", r.Confirm.P50)
				}
			})
		})
	}
}

func TestWhatASystemRefusesBecauseItHasTooMuchToDoIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, code, words := bench(t, &fakeAPI{ending: time.Second, places: 5}, "--orders", "40", "--concurrency", "10", "--rate", "20")
		if code != cli.Done || r.Accepted+r.Refused != 40 || r.Refused < 20 || r.Completed != r.Accepted || r.Failed != 0 {
			t.Errorf("%+v, exit %d: %s", r, code, words)
		}
	})
}
