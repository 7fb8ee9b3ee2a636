package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ordering "millrace/app/order"
	"millrace/domain/order"
	"millrace/ports/httpapi"
	"millrace/ports/httpapi/contract"
)

const (
	created = "id: 1 event: OrderCreated data:"
	paid    = "id: 2 event: PaymentSucceeded data:"
	ended   = "id: 3 event: OrderCompleted data:"
	silence = ": nothing new"
	hello   = "retry: 2000"
	theEnd  = `event: end data: {"orderId":"ord_1","status":"CONFIRMED","reason":null}`
)

// life is an order's timeline as far as it has come.
func (s *shop) life(id order.ID, entries int) {
	all := []order.Entry{
		{Seq: 1, At: noon, Event: "OrderCreated", Status: order.Pending, EventID: "e1"},
		{Seq: 2, At: noon.Add(time.Millisecond), Event: "PaymentSucceeded", Status: order.Paid, EventID: "e2"},
		{Seq: 3, At: noon.Add(2 * time.Millisecond), Event: "OrderCompleted", Status: order.Confirmed, EventID: "e3"},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has(id, all[entries-1].Status, "", all[:entries]...)
}

// looks has the database asked as a process does.
func (s *shop) looks(t *testing.T) {
	ctx := t.Context()
	go func() {
		again := time.NewTicker(200 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				_ = s.follow.Look(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (s *shop) wantReading(t *testing.T, want int64) {
	t.Helper()
	synctest.Wait()
	if got := s.reading.Load(); got != want {
		t.Errorf("%d streams are open, want %d", got, want)
	}
}

func TestTheEventsOfAnEndedOrderAreItsTimelineAndTheEnd(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Failed, "out_of_stock",
		order.Entry{Seq: 1, At: noon, Event: "OrderCreated", Status: order.Pending, EventID: "e1"},
		order.Entry{Seq: 2, At: noon.Add(1500 * time.Microsecond), Event: "OrderCompleted", Status: order.Failed, EventID: "e2"})
	h := s.handler()
	var shown struct{ Timeline []json.RawMessage }
	if err := json.Unmarshal([]byte(text(t, ask(t, h, get("/api/v1/orders/ord_1")))), &shown); err != nil {
		t.Fatal(err)
	}
	begin := "retry: 2000\n\n"
	first := "id: 1\nevent: OrderCreated\ndata: " + string(shown.Timeline[0]) + "\n\n"
	second := "id: 2\nevent: OrderCompleted\ndata: " + string(shown.Timeline[1]) + "\n\n"
	end := "event: end\ndata: " + `{"orderId":"ord_1","status":"FAILED","reason":"out_of_stock"}` + "\n\n"
	for last, want := range map[string]string{
		"": begin + first + second + end, "0": begin + first + second + end, "1": begin + second + end, "2": begin + end, "3": begin + end,
	} {
		r := wantStatus(t, ask(t, h, get("/api/v1/orders/ord_1/events", "Last-Event-ID", last)), http.StatusOK)
		if got := text(t, r); got != want {
			t.Errorf("after %q it has\n%s\nwant\n%s", last, got, want)
		}
		wantHeader(t, r, "Content-Type", "text/event-stream")
		wantHeader(t, r, "Cache-Control", "no-store")
		wantHeader(t, r, "X-Accel-Buffering", "no")
		wantHeader(t, r, "X-Content-Type-Options", "nosniff")
	}
	if n := s.reading.Load(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

func TestAStreamThatCannotBeginIsAProblem(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.life("ord_1", 3)
	h := s.handler()
	for _, c := range []struct {
		id       string
		last     []string
		status   int
		code     string
		pointers string
	}{
		{"ord_9", nil, http.StatusNotFound, "order_not_found", "[]"},
		{"9", nil, http.StatusBadRequest, "invalid_order_id", "[orderId]"},
		{"ord_1", []string{"x"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"ord_1", []string{"-1"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"ord_1", []string{"+1"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"ord_1", []string{"1.0"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"ord_1", []string{"9999999999"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"ord_1", []string{"1", "1"}, http.StatusBadRequest, "invalid_last_event_id", "[Last-Event-ID]"},
		{"9", []string{"x"}, http.StatusBadRequest, "invalid_request", "[orderId Last-Event-ID]"},
	} {
		a := get("/api/v1/orders/" + c.id + "/events")
		a.header["Last-Event-Id"] = c.last
		p := problem(t, wantStatus(t, ask(t, h, a), c.status))
		pointers := []string{}
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if p.Code != c.code || fmt.Sprint(pointers) != c.pointers {
			t.Errorf("%s after %v: %s at %v, want %s at %s", c.id, c.last, p.Code, pointers, c.code, c.pointers)
		}
	}
	s.fails = errDown
	wantStatus(t, ask(t, h, get("/api/v1/orders/ord_1/events")), http.StatusServiceUnavailable)
	if n := s.reading.Load(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

func TestEventsAreForGETAndHEADOpensNoStream(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.life("ord_1", 1)
	h := s.handler()
	r := wantStatus(t, ask(t, h, asked{method: http.MethodHead, path: "/api/v1/orders/ord_1/events"}), http.StatusOK)
	wantHeader(t, r, "Content-Type", "text/event-stream")
	if got := text(t, r); got != "" || s.reading.Load() != 0 {
		t.Errorf("it has the body %q, and %d streams are open", got, s.reading.Load())
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, "BREW"} {
		r := wantStatus(t, ask(t, h, asked{method: method, path: "/api/v1/orders/ord_1/events"}), http.StatusMethodNotAllowed)
		if allow := r.Header.Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "HEAD") {
			t.Errorf("%s: Allow is %q", method, allow)
		}
	}
}

// For longer than any limit of the two servers.
func TestAnOrderIsFollowedThroughTheGatewayForHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, seen := newShop(), &timed{}
		s.life("ord_1", 1)
		s.looks(t)
		orders := serve(t, s.handler())
		door := throughGateway(t, orders, seen)
		r := door.read(t, "ord_1", "")
		r.wants(t, hello, created)
		begun := time.Now()
		for n := range 2 * 240 {
			r.wants(t, silence)
			if at := time.Duration(n+1) * 15 * time.Second; time.Since(begun) != at {
				t.Fatalf("comment %d comes after %s, want %s", n, time.Since(begun), at)
			}
		}
		s.life("ord_1", 2)
		moved := time.Now()
		r.wants(t, paid)
		if late := time.Since(moved); late > 200*time.Millisecond {
			t.Errorf("an entry is told after %s", late)
		}
		r.wants(t, silence)
		s.life("ord_1", 3)
		r.wants(t, ended, theEnd, "over")
		s.wantReading(t, 0)
		door.read(t, "ord_1", "2").wants(t, hello, ended, theEnd, "over")
		door.ends(t)
		orders.ends(t)
		if got := seen.String(); got != "GET /api/v1/orders/*/events 200 0s, GET /api/v1/orders/*/events 200 0s" {
			t.Errorf("the gateway counts %s", got)
		}
	})
}

// timed is what an Observer hears.
type timed struct {
	mu   sync.Mutex
	seen []string
}

func (o *timed) Request(method, route string, status int, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, fmt.Sprint(method, " ", route, " ", status, " ", took))
}

func (o *timed) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.seen, ", ")
}

func TestAStreamIsCountedByItsTemplateAndTheTimeUntilItBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, seen := newShop(), &timed{}
		s.life("ord_1", 1)
		s.looks(t)
		orders := serve(t, httpapi.NewOrders(httpapi.OrdersConfig{Follow: s.follow, Service: httpapi.Service{
			Observer: seen, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}}))
		r := orders.read(t, "ord_1", "")
		r.wants(t, hello, created, silence)
		time.Sleep(100 * time.Millisecond) // between two looks
		s.life("ord_1", 3)
		r.wants(t, paid, ended, theEnd, "over")
		orders.ends(t)
		if got := seen.String(); got != "GET /api/v1/orders/:orderId/events 200 0s" {
			t.Errorf("it counts %s", got)
		}
		if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "status=200 took=15.2s ") {
			t.Errorf("the log has %s", lines)
		}
	})
}

func TestStreamsAreOverWhenAServerStopsAndCanBeTakenUpAgain(t *testing.T) {
	t.Parallel()
	for name, stopped := range map[string]func(orders, door *wire) *wire{
		"the order service": func(orders, _ *wire) *wire { return orders },
		"the gateway":       func(_, door *wire) *wire { return door },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newShop()
				s.life("ord_1", 1)
				s.looks(t)
				orders := serve(t, s.handler())
				door := throughGateway(t, orders, nil)
				r := door.read(t, "ord_1", "")
				r.wants(t, hello, created, silence)
				time.Sleep(14 * time.Second) // the last write is long ago
				begun := time.Now()
				stopped(orders, door).stop()
				r.wants(t, "over")
				stopped(orders, door).ends(t)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("it stops after %s", took)
				}
				s.wantReading(t, 0)
				for _, other := range []*wire{door, orders} {
					if other != stopped(orders, door) {
						other.ends(t)
					}
				}
				again := serve(t, s.handler())
				s.life("ord_1", 3)
				again.read(t, "ord_1", "1").wants(t, hello, paid, ended, theEnd, "over")
				again.ends(t)
			})
		})
	}
}

func TestAStreamGoesWithItsReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.life("ord_1", 1)
		orders := serve(t, s.handler())
		door := throughGateway(t, orders, nil)
		r := door.read(t, "ord_1", "")
		r.wants(t, hello, created)
		s.wantReading(t, 1)
		r.leave()
		s.wantReading(t, 0)
		door.ends(t)
		orders.ends(t)
	})
}

// until is a Verifier whose tokens hold for an hour.
type until struct{ names }

func (u until) Verify(ctx context.Context, token string) (ordering.Caller, error) {
	caller, err := u.names.Verify(ctx, token)
	return caller.Until(time.Now().Add(time.Hour)), err
}

func TestAStreamEndsWithTheTokenThatItWasAskedForWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := guarded(until{})
		w := httptest.NewRecorder()
		begun := time.Now()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/orders/ord_1/events", http.NoBody)
		r.Header.Set("Authorization", own)
		s.handler().ServeHTTP(w, r)
		if took := time.Since(begun); took != time.Hour || w.Code != http.StatusOK || strings.Contains(w.Body.String(), "event: end") {
			t.Errorf("it is over after %s: %d, %s", took, w.Code, w.Body)
		}
		s.wantReading(t, 0)
	})
}

// A reader that is dead, and whose network does not say so.
func TestAStreamThatNobodyReadsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.life("ord_1", 1)
		orders := serve(t, s.handler())
		c, err := orders.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(c, "GET /api/v1/orders/ord_1/events HTTP/1.1\r\nHost: millrace\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second - time.Nanosecond)
		s.wantReading(t, 1)
		time.Sleep(time.Nanosecond)
		s.wantReading(t, 0)
		_ = c.Close()
		orders.ends(t)
	})
}

// timedWriter notes how long each write may take.
type timedWriter struct {
	discard
	limits []time.Duration
	until  time.Time
}

func (p *timedWriter) SetWriteDeadline(at time.Time) error {
	p.until = at
	return nil
}

func (p *timedWriter) Write(b []byte) (int, error) {
	p.limits = append(p.limits, time.Until(p.until))
	return len(b), nil
}

func (p *timedWriter) Flush() {}

func TestTheGatewayGivesUpAStreamThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		orders := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 20 {
				_, _ = io.WriteString(w, silence+"\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		}))
		w := &timedWriter{discard: discard{http.Header{}}}
		gatewayOn(t, orders, nil).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/orders/ord_1/events", http.NoBody))
		if len(w.limits) != 20 {
			t.Errorf("it was written to %d times", len(w.limits))
		}
		for n, limit := range w.limits {
			if limit != 10*time.Second {
				t.Errorf("write %d may take %s", n, limit)
			}
		}
		orders.ends(t)
	})
}

func TestNoMoreStreamsAreOpenedThanTheServiceKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newShop()
		s.life("ord_1", 1)
		h := s.logged(slog.New(slog.NewTextHandler(&log, nil)))
		orders := serve(t, h)
		first, second := orders.read(t, "ord_1", ""), orders.read(t, "ord_1", "")
		first.wants(t, hello, created)
		second.wants(t, hello, created)
		r := wantStatus(t, ask(t, h, get("/api/v1/orders/ord_1/events")), http.StatusServiceUnavailable)
		wantHeader(t, r, "Retry-After", "5")
		if p := problem(t, r); p.Code != "too_many_streams" {
			t.Errorf("the third is told %s", p.Code)
		}
		if log.Len() > 0 {
			t.Errorf("each refusal is a line in the log: %s", log.String())
		}
		first.leave()
		s.wantReading(t, 1)
		third := orders.read(t, "ord_1", "")
		third.wants(t, hello, created)
		second.leave()
		third.leave()
		s.wantReading(t, 0)
		orders.ends(t)
	})
}

func TestAStreamThatDoesNotBeginIsWaitedForNoLongerThanAnAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stopAfter time.Duration // the gateway
		status    int
		code      string
		detail    string
		after     time.Duration
	}{
		"by a gateway that goes on": {time.Hour, http.StatusGatewayTimeout, "upstream_timeout", "order-service", 10 * time.Second},
		"by a gateway that stops":   {time.Second, http.StatusServiceUnavailable, "upstream_unavailable", "the gateway is stopping", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				gaveUp := make(chan struct{})
				orders := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gaveUp) }))
				door := throughGateway(t, orders, nil)
				begun := time.Now()
				stop := time.AfterFunc(c.stopAfter, door.stop)
				defer stop.Stop()
				r := door.read(t, "ord_1", "")
				wantStatus(t, r.response, c.status)
				var p contract.Problem
				if err := json.NewDecoder(r.lines).Decode(&p); err != nil || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
					t.Errorf("got %+v, %v", p, err)
				}
				if took := time.Since(begun); took != c.after {
					t.Errorf("after %s", took)
				}
				<-gaveUp // the service is told that nobody waits
				r.wants(t, "over")
				door.ends(t)
				orders.ends(t)
			})
		})
	}
}

var _ net.Listener = (*wire)(nil)
