package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"millrace/ports/httpapi/contract"
)

// NewTransport makes the transport of a gateway: as many idle connections as there are requests
// at a time, no environment proxies, and bodies as they come.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     time.Minute, // below the server's idleLimit
		DisableCompression:  true,
	}
}

// newProxy leads to one service.
func newProxy(s Service, service string, at *url.URL, transport http.RoundTripper) http.Handler {
	p := problems{log: s.Logger}
	return &httputil.ReverseProxy{
		Transport:  again{transport},
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(s.Logger.Handler(), slog.LevelWarn),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(at)
			r.SetXForwarded() // of the connection, whatever the client said
			private(r.Out.Header)
			s.Propagator.Inject(r.In.Context(), propagation.HeaderCarrier(r.Out.Header))
		},
		ModifyResponse: func(r *http.Response) error {
			for _, header := range securityHeaders {
				r.Header.Del(header.name) // they are set at the door already
			}
			if r.Header.Get("Content-Type") == streamType {
				r.Body = whole{r.Body, r.Request.Context()}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { p.answerFor(service, w, r, err) },
	}
}

// again sends a request once more that was lost on a connection which had been idle: the service may
// have closed it at that moment. The standard transport does so too, but not when it had begun to
// write. Only requests that are safe to send twice are: GET and its like, and those with a key.
type again struct{ http.RoundTripper }

// idleTries bounds it: after a restart of the service every idle connection is a closed one.
const idleTries = 4

// RoundTrip sends the request.
func (t again) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		reused := false
		ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused },
		})
		response, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
		if err == nil || !reused || n == idleTries || r.Context().Err() != nil || !safeTwice(r) {
			return response, err
		}
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = body
		}
	}
}

func safeTwice(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return r.Header.Get("Idempotency-Key") != ""
}

// private removes what only services tell each other, and what the gateway has dealt with.
func private(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Millrace-") {
			delete(h, name)
		}
	}
	for _, name := range []string{"X-Real-Ip", "Connection", "Upgrade", "Expect", "Te"} {
		h.Del(name)
	}
}

// answerFor answers for a service that did not. A connection that was never made has carried
// nothing; of anything else nobody knows how far it came.
func (w problems) answerFor(service string, rw http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(context.Cause(r.Context()), context.Canceled) {
		rw.WriteHeader(clientGone)
		return
	}
	code, detail := "upstream_failed", service+" broke its answer off"
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		code, detail = "upstream_unavailable", service+" is away: try again"
	case errors.Is(err, errStopping):
		code, detail = "upstream_unavailable", "the gateway is stopping: try again"
	case errors.Is(err, context.DeadlineExceeded):
		code, detail = "upstream_timeout", service+" did not answer in time"
	}
	a, _ := adviceOf(code)
	w.log.WarnContext(r.Context(), "a service did not answer", "service", service, "code", code, "error", err, "traceId", traceID(r.Context()))
	w.send(rw, r, contract.Problem{Type: "/problems/" + code, Title: a.title, Status: a.status, Detail: detail, Code: code})
}

// buffers lends the proxy what it copies answers through.
type buffers struct{ pool sync.Pool }

// Get lends a buffer.
func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 16<<10)
}

// Put takes it back.
func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
