package psp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"millrace/adapters/psp"
	"millrace/adapters/psp/simulator"
	"millrace/app/payment"
	"millrace/domain/fault"
)

// answering is a provider that always gives the same answer.
func answering(t *testing.T, status int, body string) *psp.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return client(t, psp.Config{URL: server.URL, Timeout: 5 * time.Second})
}

func client(t *testing.T, c psp.Config) *psp.Client {
	t.Helper()
	p, err := psp.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestAnAnswerThatLeavesTheOutcomeOpenIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"server error":        {500, ""},
		"gateway's page":      {502, "<html>"},
		"too many requests":   {429, "{}"},
		"a yes in HTML":       {200, "<html>"},
		"a cut yes":           {201, `{"status":"capt`},
		"an unknown status":   {201, `{"status":"maybe"}`},
		"a yes without state": {201, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := answering(t, answer.status, answer.body).Capture(t.Context(), charge("ord_1", "x"))
			wantKind(t, name, err, fault.Unavailable)
		})
	}
}

func TestAClearNoIsInvalid(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 405, 413, 422} {
		_, err := answering(t, status, "no").Capture(t.Context(), charge("ord_1", "x"))
		wantKind(t, http.StatusText(status), err, fault.Invalid)
	}
}

func TestAProviderThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := client(t, psp.Config{URL: server.URL}).Find(t.Context(), "k")
	wantKind(t, "find", err, fault.Unavailable)
}

func TestABadAddressIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:8086", "ftp://provider", "http://"} {
		_, err := psp.NewClient(psp.Config{URL: url})
		wantKind(t, url, err, fault.Invalid)
	}
}

func TestTheCircuitOpensAfterFailuresInARowAndClosesWithASuccess(t *testing.T) {
	t.Parallel()
	s, err := simulator.Open("", simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	states := make(chan string, 10)
	p := client(t, psp.Config{URL: server.URL, Breaker: psp.Breaker{
		After: 3, Pause: time.Millisecond, OnChange: func(s string) { states <- s },
	}})
	find := func() error { _, err := p.Find(t.Context(), "k"); return err }

	broken.Store(true)
	wantKind(t, "1", find(), fault.Unavailable)
	wantKind(t, "2", find(), fault.Unavailable)
	broken.Store(false)
	if err := find(); err != nil {
		t.Errorf("two failures opened the circuit: %v", err)
	}
	broken.Store(true)
	for range 3 {
		wantKind(t, "in a row", find(), fault.Unavailable)
	}
	var seen []string
	seen = append(seen, <-states)

	broken.Store(false)
	for {
		before := asked.Load()
		err := find()
		if err == nil {
			break
		}
		wantKind(t, "open", err, fault.Unavailable)
		if asked.Load() != before {
			t.Fatal("an open circuit let a call through")
		}
	}
	seen = append(seen, <-states, <-states)
	if want := []string{"open", "half-open", "closed"}; !slices.Equal(seen, want) {
		t.Errorf("the circuit went through %v, want %v", seen, want)
	}
}

func TestADeclinedCardIsNoFailureOfTheProvider(t *testing.T) {
	t.Parallel()
	s, err := simulator.Open("", simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	p := client(t, psp.Config{URL: server.URL, Breaker: psp.Breaker{After: 1}})
	for range 3 {
		got, err := p.Capture(t.Context(), charge("ord_1", simulator.MethodDeclined))
		wantFate(t, "declined", got, err, payment.FateDeclined)
	}
}
