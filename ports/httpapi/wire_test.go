package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"millrace/app/gateway"
	"millrace/app/messages"
	"millrace/ports/httpapi"
)

// wire is a network within the process: both ends go by the clock of a synctest bubble, time-outs included.
type wire struct {
	dialled chan net.Conn
	closed  chan struct{}
	ended   chan error // of the server on it
	stop    func()     // tells the server to stop
}

// serve puts a handler on a wire, with the limits that all services have.
func serve(t *testing.T, h http.Handler) *wire {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &wire{make(chan net.Conn), make(chan struct{}), make(chan error, 1), stop}
	go func() { w.ended <- httpapi.Serve(ctx, w, h, slog.New(slog.DiscardHandler)) }()
	return w
}

// ends tells the server to stop, and waits until it has.
func (w *wire) ends(t *testing.T) {
	t.Helper()
	w.stop()
	if err := <-w.ended; err != nil {
		t.Error(err)
	}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.dialled:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	close(w.closed)
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (w *wire) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.dialled <- there:
		return here, nil
	case <-w.closed:
		return nil, &net.OpError{Op: "dial", Err: errors.New("nobody listens")}
	}
}

// throughGateway puts a gateway in front of an order service on a wire.
func throughGateway(t *testing.T, orders *wire, o httpapi.Observer) *wire {
	t.Helper()
	return serve(t, gatewayOn(t, orders, o))
}

func gatewayOn(t *testing.T, orders *wire, o httpapi.Observer) http.Handler {
	t.Helper()
	at := &url.URL{Scheme: "http", Host: "orders"}
	transport := httpapi.NewTransport()
	transport.DialContext = orders.dial
	t.Cleanup(transport.CloseIdleConnections)
	h, err := httpapi.NewGateway(httpapi.GatewayConfig{
		Service: httpapi.Service{Name: messages.APIGateway, Observer: o}, Routes: gateway.Routes(), Transport: transport,
		Upstreams: map[string]*url.URL{messages.OrderService: at, messages.InventoryService: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// reader reads a stream.
type reader struct {
	response *http.Response
	lines    *bufio.Reader
	leave    func()
}

// read opens a stream of an order.
func (w *wire) read(t *testing.T, id, lastEventID string) *reader {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://millrace/api/v1/orders/"+id+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := (&http.Transport{DialContext: w.dial, DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &reader{response, bufio.NewReader(response.Body), leave}
}

// next reads up to the next empty line, and gives it on one line; "over" where the stream is whole and has ended.
func (r *reader) next(t *testing.T) string {
	t.Helper()
	var lines []string
	for {
		line, err := r.lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && line == "" && len(lines) == 0:
			return "over"
		case err != nil:
			t.Fatalf("after %q the stream broke off: %v", append(lines, line), err)
		case line == "\n":
			return strings.Join(lines, " ")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

func (r *reader) wants(t *testing.T, pieces ...string) {
	t.Helper()
	for _, want := range pieces {
		if got := r.next(t); got != want && (want == "" || !strings.HasPrefix(got, want+" ")) {
			t.Fatalf("the stream has %q, want %q", got, want)
		}
	}
}
