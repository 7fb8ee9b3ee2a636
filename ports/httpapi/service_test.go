package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"millrace/domain/inventory"
	"millrace/ports/httpapi"
)

func TestUnknownPathsAre404(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	for _, path := range []string{"/nothing", "/api/v1/orders/", "/api/v1/orders/ord_1/events/x", "/API/v1/orders", "/metrics"} {
		_, w := send(t, h, get(path))
		p := problem(t, wantStatus(t, w.Result(), http.StatusNotFound))
		if p.Code != "route_not_found" || p.Instance != path {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestAMethodThatAPathDoesNotTakeIs405AndTheOthersAreListed(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodDelete, "/api/v1/orders", "GET HEAD POST"},
		{http.MethodPut, "/api/v1/orders/ord_1", "GET HEAD"},
		{http.MethodGet, "/api/v1/orders/ord_1/cancel", "POST"},
		{http.MethodPost, "/api/v1/products", "GET HEAD"},
		{http.MethodPost, "/livez", "GET HEAD"},
		{"BREW", "/api/v1/orders", "GET HEAD POST"},
	} {
		r := wantStatus(t, ask(t, h, asked{method: c.method, path: c.path}), http.StatusMethodNotAllowed)
		for _, method := range strings.Fields(c.allow) {
			if !strings.Contains(r.Header.Get("Allow"), method) {
				t.Errorf("%s %s allows %q, want %s", c.method, c.path, r.Header.Get("Allow"), c.allow)
			}
		}
		if p := problem(t, r); p.Code != "method_not_allowed" {
			t.Errorf("got %s", p.Code)
		}
	}
}

func TestHEADAnswersLikeGET(t *testing.T) {
	t.Parallel()
	r := wantStatus(t, ask(t, newShop().handler(), asked{method: http.MethodHead, path: "/api/v1/products"}), http.StatusOK)
	wantHeader(t, r, "Content-Type", "application/json")
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	for _, path := range []string{"/livez", "/nothing", "/docs", "/api/v1/products"} {
		r := ask(t, h, get(path))
		wantHeader(t, r, "X-Content-Type-Options", "nosniff")
		if !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has the policy %q", path, r.Header.Get("Content-Security-Policy"))
		}
	}
}

type shelf struct{ fails error }

func (s shelf) Levels(context.Context) ([]inventory.Level, error) {
	return []inventory.Level{{SKU: "SKU-LOW", OnHand: 3, Reserved: 1}}, s.fails
}

func (s shelf) Level(context.Context, string) (inventory.Level, error) {
	return inventory.Level{SKU: "SKU-LOW", OnHand: 3, Reserved: 1}, s.fails
}

func TestStockIsListedAndShown(t *testing.T) {
	t.Parallel()
	h := httpapi.NewInventory(httpapi.InventoryConfig{Stock: shelf{}})
	one := `{"sku":"SKU-LOW","onHand":3,"reserved":1,"available":2}`
	if got := text(t, ask(t, h, get("/api/v1/stock/SKU-LOW"))); got != one {
		t.Errorf("got %s", got)
	}
	if got := text(t, ask(t, h, get("/api/v1/stock"))); got != `{"items":[`+one+`]}` {
		t.Errorf("got %s", got)
	}
	h = httpapi.NewInventory(httpapi.InventoryConfig{Stock: shelf{errDown}})
	for _, path := range []string{"/api/v1/stock", "/api/v1/stock/SKU-LOW"} {
		wantStatus(t, ask(t, h, get(path)), http.StatusServiceUnavailable)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	fine := func(context.Context) error { return nil }
	health := httpapi.NewHealth(0,
		httpapi.Check{Name: "database", Ready: func(context.Context) error { return errors.New("no route to host") }},
		httpapi.Check{Name: "kafka", Ready: fine})
	h := httpapi.NewBare(httpapi.BareConfig{Service: httpapi.Service{Health: health}})
	for _, path := range []string{"/readyz", "/healthz"} {
		want := `{"status":"waiting","missing":["database"],"checks":[{"name":"database","ok":false,"detail":"no route to host"},{"name":"kafka","ok":true}]}`
		if got := text(t, wantStatus(t, ask(t, h, get(path)), http.StatusServiceUnavailable)); got != want {
			t.Errorf("got %s", got)
		}
	}
	wantStatus(t, ask(t, h, get("/livez")), http.StatusOK)
}

func TestAServiceThatIsToldToStopIsNotReadyButLives(t *testing.T) {
	t.Parallel()
	health := httpapi.NewHealth(0)
	h := httpapi.NewBare(httpapi.BareConfig{Service: httpapi.Service{Health: health}})
	wantStatus(t, ask(t, h, get("/readyz")), http.StatusOK)
	health.Drain()
	if got := text(t, wantStatus(t, ask(t, h, get("/readyz")), http.StatusServiceUnavailable)); !strings.Contains(got, `"draining"`) {
		t.Errorf("got %s", got)
	}
	wantStatus(t, ask(t, h, get("/livez")), http.StatusOK)
}

func TestChecksRunSideBySideAndWithinTheirLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		begun := time.Now()
		state := httpapi.NewHealth(time.Second, httpapi.Check{Name: "a", Ready: hangs}, httpapi.Check{Name: "b", Ready: hangs}).State(t.Context())
		if took := time.Since(begun); took != time.Second || len(state.Missing) != 2 {
			t.Errorf("it took %s, missing %v", took, state.Missing)
		}
	})
}

type observed struct {
	mu   sync.Mutex
	seen []string
}

func (o *observed) Request(method, route string, status int, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, fmt.Sprint(method, " ", route, " ", status))
}

func TestRequestsAreCountedByTemplateAndAPanicIsA500(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := &observed{}
	h := httpapi.NewBare(httpapi.BareConfig{
		Service: httpapi.Service{Observer: o, Logger: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
		Extra:   map[string]http.Handler{"/mailbox": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of paper") })},
	})
	r := wantStatus(t, ask(t, h, get("/mailbox?orderId=ord_1")), http.StatusInternalServerError)
	if strings.Contains(text(t, r), "paper") {
		t.Error("the panic leaks")
	}
	p := problem(t, r)
	if !strings.Contains(log.String(), "out of paper") || !strings.Contains(log.String(), p.TraceId) {
		t.Errorf("the log has %s", log.String())
	}
	ask(t, h, get("/secret/42"))
	ask(t, h, asked{method: "BREW", path: "/livez"})
	ask(t, h, get("/metrics"))
	if got := fmt.Sprint(o.seen); got != "[GET /mailbox 500 GET unmatched 404 other unmatched 405 GET /metrics 200]" {
		t.Errorf("seen: %s", got)
	}
}

func TestSpansContinueTheCallersTraceAndProblemsNameIt(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	h := httpapi.NewBare(httpapi.BareConfig{Service: httpapi.Service{
		Name: "payment-service", Traces: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	}})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	p := problem(t, ask(t, h, get("/nothing", "traceparent", "00-"+trace+"-00f067aa0ba902b7-01")))
	if p.TraceId != trace {
		t.Errorf("the problem names %s", p.TraceId)
	}
	ask(t, h, get("/livez"))
	if ended := spans.Ended(); len(ended) != 1 || ended[0].SpanContext().TraceID().String() != trace {
		t.Errorf("spans: %v", ended)
	}
}

func TestACallersTraceIsNamedEvenWhenNothingIsTraced(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	h := newShop().handler()
	if p := problem(t, ask(t, h, get("/nothing", "traceparent", "00-"+trace+"-00f067aa0ba902b7-00"))); p.TraceId != trace {
		t.Errorf("the problem names %s", p.TraceId)
	}
	one, other := problem(t, ask(t, h, get("/nothing"))), problem(t, ask(t, h, get("/nothing")))
	if one.TraceId == other.TraceId {
		t.Error("two requests have one trace")
	}
}

func TestARequestThatItsCallerGaveUpIsNotAnError(t *testing.T) {
	t.Parallel()
	o := &observed{}
	ctx, cancel := context.WithCancel(t.Context())
	h := httpapi.NewInventory(httpapi.InventoryConfig{Service: httpapi.Service{Observer: o}, Stock: gone{cancel}})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/stock", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(discard{http.Header{}}, r)
	if got := fmt.Sprint(o.seen); got != "[GET /api/v1/stock 499]" {
		t.Errorf("seen: %s", got)
	}
}

// gone is stock whose caller hangs up while it is read.
type gone struct{ hangUp func() }

func (g gone) Levels(ctx context.Context) ([]inventory.Level, error) {
	g.hangUp()
	return nil, fmt.Errorf("read stock: %w", ctx.Err())
}

func (g gone) Level(ctx context.Context, _ string) (inventory.Level, error) {
	return inventory.Level{}, ctx.Err()
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
