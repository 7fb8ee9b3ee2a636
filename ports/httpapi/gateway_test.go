package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"millrace/app/gateway"
	"millrace/app/messages"
	"millrace/ports/httpapi"
)

// behind starts a gateway whose services are all one handler, and gives the gateway's address.
func behind(t *testing.T, upstream http.Handler, routes ...gateway.Route) string {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	return gatewayTo(t, server.URL, routes...)
}

func gatewayTo(t *testing.T, upstream string, routes ...gateway.Route) string {
	t.Helper()
	at, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	if routes == nil {
		routes = gateway.Routes()
	}
	transport := httpapi.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	h, err := httpapi.NewGateway(httpapi.GatewayConfig{
		Service: httpapi.Service{Name: messages.APIGateway, Traces: sdktrace.NewTracerProvider()},
		Routes:  routes, Transport: transport,
		Upstreams: map[string]*url.URL{messages.OrderService: at, messages.InventoryService: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// over sends a request over the wire, as a client would.
func over(t *testing.T, base string, a asked) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), a.method, base+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if a.header != nil {
		r.Header = a.header
	}
	return sent(t, r)
}

func sent(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	text(t, response)
	conforms(t, r, response, []byte(text(t, response)))
	return response
}

// beginning tells when an answer begins.
type beginning struct {
	*httptest.ResponseRecorder
	begun chan struct{}
}

func (b *beginning) WriteHeader(status int) {
	b.ResponseRecorder.WriteHeader(status)
	close(b.begun)
}

func TestAServiceThatHangsGathersNoMoreRequestsThanItMay(t *testing.T) {
	t.Parallel()
	entered, let := make(chan struct{}, 2), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/stream") { // it begins at once, and lasts
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
		}
		entered <- struct{}{}
		<-let
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(slow.Close)
	at, err := url.Parse(slow.URL)
	if err != nil {
		t.Fatal(err)
	}
	h, err := httpapi.NewGateway(httpapi.GatewayConfig{
		Service: httpapi.Service{Name: messages.APIGateway}, AtOnce: 1,
		Routes:    []gateway.Route{{Prefix: "/slow", Service: "s", Timeout: time.Minute}, {Prefix: "/stream", Service: "s", Timeout: time.Minute, Streams: "/*"}},
		Upstreams: map[string]*url.URL{"s": at},
	})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 2)
	ask := func(w http.ResponseWriter, path string) {
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		answered <- 1
	}
	stream := &beginning{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{})}
	go ask(stream, "/stream/1")
	<-entered
	<-stream.begun // from here on it may stay for hours, and takes no place
	in := httptest.NewRecorder()
	go ask(in, "/slow")
	<-entered
	for _, a := range []asked{get("/slow"), get("/stream/2"), {method: http.MethodPost, path: "/stream/1"}} {
		_, w := send(t, h, a)
		wantHeader(t, w.Result(), "Retry-After", "1")
		if p := problem(t, wantStatus(t, w.Result(), http.StatusServiceUnavailable)); p.Code != "upstream_crowded" {
			t.Errorf("%s %s is answered %s", a.method, a.path, p.Code)
		}
	}
	close(let)
	for range 2 {
		<-answered
	}
	if stream.Code != http.StatusOK || in.Code != http.StatusNoContent {
		t.Errorf("those that were let in are answered %d and %d", stream.Code, in.Code)
	}
	if _, w := send(t, h, get("/slow")); w.Code != http.StatusNoContent {
		t.Errorf("the place is not free again: %d", w.Code)
	}
}

func TestAnOrderGoesThroughTheGatewayAndComesBackUntouched(t *testing.T) {
	t.Parallel()
	s := newShop()
	base := behind(t, s.handler())
	for _, replayed := range []string{"", "true"} {
		r := wantStatus(t, over(t, base, post(usual, "Idempotency-Key", `"k"`)), http.StatusAccepted)
		if got := text(t, r); got != `{"orderId":"ord_0001","status":"PENDING"}` {
			t.Errorf("the body is %s", got)
		}
		wantHeader(t, r, "Location", "/api/v1/orders/ord_0001")
		wantHeader(t, r, "Idempotency-Replayed", replayed)
		wantHeader(t, r, "X-Content-Type-Options", "nosniff") // once, though both set it
		if len(r.Header.Values("Content-Security-Policy")) != 1 {
			t.Errorf("policies: %v", r.Header.Values("Content-Security-Policy"))
		}
	}
	shown := wantStatus(t, over(t, base, get("/api/v1/orders/ord_0001")), http.StatusOK)
	tag := shown.Header.Get("ETag")
	same := wantStatus(t, over(t, base, get("/api/v1/orders/ord_0001", "If-None-Match", tag)), http.StatusNotModified)
	wantHeader(t, same, "ETag", tag)
	refused := wantStatus(t, over(t, base, asked{method: http.MethodDelete, path: "/api/v1/orders/ord_0001"}), http.StatusMethodNotAllowed)
	if !strings.Contains(refused.Header.Get("Allow"), "GET") {
		t.Errorf("Allow is %q", refused.Header.Get("Allow"))
	}
	if p := problem(t, wantStatus(t, over(t, base, post(`{}`)), http.StatusBadRequest)); len(p.Errors) != 3 {
		t.Errorf("errors: %v", p.Errors)
	}
}

func TestTheGatewayKeepsPathAndQueryAsTheyWere(t *testing.T) {
	t.Parallel()
	base := behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	for _, path := range []string{"/api/v1/orders?from=2026-01-01T00:00:00%2B05:30&limit=2", "/api/v1/products/a%2Fb", "/api/v1/orders/ord_1/cancel"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, base+path, http.NoBody) // no call of the contract
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, sent(t, r)); got != path {
			t.Errorf("%s arrived as %s", path, got)
		}
	}
}

func TestAServiceThatIsDownIs503AndNamed(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	r := wantStatus(t, over(t, gatewayTo(t, closed.URL), post(usual)), http.StatusServiceUnavailable)
	wantHeader(t, r, "Retry-After", "1")
	if p := problem(t, r); p.Code != "upstream_unavailable" || !strings.Contains(p.Detail, "order-service") {
		t.Errorf("got %+v", p)
	}
}

func TestAServiceThatIsSlowIs504AndNamed(t *testing.T) {
	t.Parallel()
	gaveUp := make(chan struct{})
	base := behind(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gaveUp) }),
		gateway.Route{Prefix: "/api/v1/stock", Service: messages.InventoryService, Timeout: 20 * time.Millisecond})
	r := wantStatus(t, over(t, base, get("/api/v1/stock")), http.StatusGatewayTimeout)
	wantHeader(t, r, "Retry-After", "1")
	if p := problem(t, r); p.Code != "upstream_timeout" || !strings.Contains(p.Detail, "inventory-service") {
		t.Errorf("got %+v", p)
	}
	<-gaveUp // the service is told that nobody waits
}

func TestAServiceThatBreaksOffIs502AndNamed(t *testing.T) {
	t.Parallel()
	base := behind(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if p := problem(t, wantStatus(t, over(t, base, post(usual)), http.StatusBadGateway)); p.Code != "upstream_failed" || !strings.Contains(p.Detail, "order-service") {
		t.Errorf("got %+v", p)
	}
}

func TestABodyThatIsTooLargeDoesNotPassTheDoor(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 2)
	base := behind(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	big := strings.Repeat("x", 64<<10+1)
	for name, body := range map[string]io.Reader{"of known length": strings.NewReader(big), "in chunks": struct{ io.Reader }{strings.NewReader(big)}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/orders", body)
		if err != nil {
			t.Fatal(err)
		}
		if p := problem(t, wantStatus(t, sent(t, r), http.StatusRequestEntityTooLarge)); p.Code != "body_too_large" {
			t.Errorf("%s: %s", name, p.Code)
		}
	}
	if len(reached) != 0 {
		t.Error("it reached the service")
	}
}

func TestABodyInChunksArrivesWhole(t *testing.T) {
	t.Parallel()
	base := behind(t, newShop().handler())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/orders", struct{ io.Reader }{strings.NewReader(usual)})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	wantStatus(t, sent(t, r), http.StatusAccepted)
}

func TestNothingPrivateGoesThroughTheGateway(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	base := behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.WriteHeader(http.StatusNoContent)
	}))
	a := asked{method: http.MethodPatch, path: "/api/v1/orders", header: http.Header{
		"Connection": {"X-Client-Hop, Upgrade"}, "X-Client-Hop": {"1"}, "Upgrade": {"h2c"}, "Te": {"trailers"}, "Proxy-Authorization": {"Basic eA=="},
		"X-Millrace-User": {"admin"}, "X-Real-Ip": {"6.6.6.6"}, "X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": {"evil"}, "Forwarded": {"for=6.6.6.6"},
		"Idempotency-Key": {"k"}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}}
	r := wantStatus(t, over(t, base, a), http.StatusNoContent)
	wantHeader(t, r, "X-Hop", "")
	got := <-seen
	for _, name := range []string{"X-Client-Hop", "Upgrade", "Connection", "Te", "Proxy-Authorization", "X-Millrace-User", "X-Real-Ip", "Forwarded"} {
		if got.Get(name) != "" {
			t.Errorf("%s arrived: %v", name, got[name])
		}
	}
	if got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Forwarded-Host") == "evil" {
		t.Errorf("forwarded for %q, host %q", got.Get("X-Forwarded-For"), got.Get("X-Forwarded-Host"))
	}
	if got.Get("Idempotency-Key") != "k" {
		t.Error("the key did not arrive")
	}
	parent := got.Get("Traceparent")
	if !strings.HasPrefix(parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || strings.Contains(parent, "00f067aa0ba902b7") {
		t.Errorf("traceparent is %s: want the caller's trace and the gateway's span", parent)
	}
}

func TestARequestIsSentAgainWhenAnIdleConnectionTurnsOutClosed(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections := make(chan net.Conn, 8)
	server := &http.Server{
		Handler:           newShop().handler(),
		ReadHeaderTimeout: time.Second,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { connections <- c; return ctx },
	}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	base := gatewayTo(t, "http://"+ln.Addr().String())
	for range 5 {
		wantStatus(t, over(t, base, post(usual, "Idempotency-Key", "k")), http.StatusAccepted)
		if err := (<-connections).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// breaks fails on a connection that had been idle, as often as it is told, after reading the body.
type breaks struct {
	times int
	tries int
}

func (b *breaks) RoundTrip(r *http.Request) (*http.Response, error) {
	b.tries++
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Reused: b.tries <= b.times})
	var body []byte
	var err error
	if r.Body != nil {
		body, err = io.ReadAll(r.Body)
	}
	if err != nil || b.tries <= b.times {
		return nil, errors.Join(err, errors.New("the connection broke while it was written to"))
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func TestOnlyWhatIsSafeIsSentAgainOnAnotherConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask    asked
		breaks int
		status int
		tries  int
	}{
		"with a key":               {post(usual, "Idempotency-Key", "k"), 2, http.StatusOK, 3},
		"without a key":            {post(usual), 2, http.StatusBadGateway, 1},
		"a look":                   {get("/api/v1/orders"), 3, http.StatusOK, 4},
		"when it goes on and on":   {get("/api/v1/orders"), 99, http.StatusBadGateway, 4},
		"without any such trouble": {post(usual), 0, http.StatusOK, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trouble := &breaks{times: c.breaks}
			at, err := url.Parse("http://127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			h, err := httpapi.NewGateway(httpapi.GatewayConfig{Routes: gateway.Routes(), Transport: trouble, Upstreams: map[string]*url.URL{
				"order-service": at, "inventory-service": at,
			}})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			r := wantStatus(t, over(t, server.URL, c.ask), c.status)
			if trouble.tries != c.tries {
				t.Errorf("it was sent %d times, want %d", trouble.tries, c.tries)
			}
			if body := text(t, r); c.ask.body != "" && c.status == http.StatusOK && body != c.ask.body {
				t.Errorf("what arrived at last is %q", body)
			}
		})
	}
}

func TestWhatTheGatewayDoesNotKnowIs404(t *testing.T) {
	t.Parallel()
	base := behind(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it reached a service") }))
	for _, path := range []string{"/api/v1/ordersx", "/api/v2/orders", "/admin", "/api/v1"} {
		if p := problem(t, wantStatus(t, over(t, base, get(path)), http.StatusNotFound)); p.Code != "route_not_found" {
			t.Errorf("%s: %s", path, p.Code)
		}
	}
}

func TestTheGatewayAnswersForItself(t *testing.T) {
	t.Parallel()
	base := behind(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it reached a service") }))
	for _, path := range []string{"/", "/docs", "/openapi.yaml", "/livez", "/readyz", "/healthz", "/problems/upstream_timeout"} {
		wantStatus(t, over(t, base, get(path)), http.StatusOK)
	}
	if page := text(t, over(t, base, get("/", "Accept", "text/html"))); !strings.Contains(page, `href="/docs"`) {
		t.Errorf("the page is %s", page)
	}
}

func TestARouteToNowhereStopsTheStart(t *testing.T) {
	t.Parallel()
	_, err := httpapi.NewGateway(httpapi.GatewayConfig{Routes: gateway.Routes()})
	if err == nil || !strings.Contains(fmt.Sprint(err), "order-service") {
		t.Errorf("got %v", err)
	}
}
