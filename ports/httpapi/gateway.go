package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"millrace/app/gateway"
)

// GatewayConfig is what the gateway needs.
type GatewayConfig struct {
	Service
	Routes    []gateway.Route
	Upstreams map[string]*url.URL // where each service of Routes is
	// Transport carries requests to the services; nil is NewTransport().
	Transport http.RoundTripper
	// Verifier refuses early what a service would refuse: routes that are not public want a token. nil lets everybody
	// through.
	Verifier Verifier
	// AtOnce is how many requests one service may have in hand, streams that have begun not counted; 0 is 2,048. More are
	// answered at once: a service that hangs would gather them until their time is over.
	AtOnce int
}

const atOnce = 2048

// NewGateway makes the gateway: what Routes names goes to its service, everything else is 404. It
// fails when a route's service has no upstream.
func NewGateway(cfg GatewayConfig) (http.Handler, error) {
	cfg.Service = cfg.withDefaults()
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	if cfg.AtOnce == 0 {
		cfg.AtOnce = atOnce
	}
	e := newEngine(cfg.Service)
	documents(e)
	answer(e, "/", index(cfg.Routes))
	slots := make(map[string]chan struct{}, len(cfg.Upstreams))
	proxies := make(map[string]http.Handler, len(cfg.Upstreams))
	for service, at := range cfg.Upstreams {
		proxies[service] = newProxy(cfg.Service, service, at, cfg.Transport)
		slots[service] = make(chan struct{}, cfg.AtOnce)
	}
	w := problems{log: cfg.Logger}
	guard := authenticated(cfg.Verifier, w)
	for _, route := range cfg.Routes {
		proxy, ok := proxies[route.Service]
		if !ok {
			return nil, fmt.Errorf("the gateway leads %s to %s, and does not know where that is", route.Prefix, route.Service)
		}
		h := []gin.HandlerFunc{forward(route, proxy, slots[route.Service], w)}
		if !route.Public { // before the body is read
			h = append([]gin.HandlerFunc{guard}, h...)
		}
		e.Any(route.Prefix, h...)
		e.Any(route.Prefix+"/*rest", h...)
	}
	return e, nil
}

// forward hands a request on once its body is here. A body is small, so that reading it first
// costs little, keeps slow senders away from the services, and lets the transport send it again
// when an idle connection turns out to be closed.
func forward(route gateway.Route, proxy http.Handler, slots chan struct{}, w problems) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := readBody(c.Request)
		if err != nil {
			w.write(c, err)
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			w.write(c, later{errCrowded, time.Second})
			return
		}
		leave := sync.OnceFunc(func() { <-slots })
		defer leave()
		ctx, to := c.Request.Context(), http.ResponseWriter(c.Writer)
		switch {
		case reads(c.Request) && route.Stream(c.Request.URL.EscapedPath()):
			c.Set(routeKey, route.Prefix+route.Streams)
			out := newStream(c)
			defer out.close()
			until, inTime, end := begunWithin(ctx, route.Timeout)
			defer end()
			out.begun = func() { inTime(); leave() } // from here on it may last
			ctx, to = until, out
		case route.Timeout > 0:
			limited, cancel := context.WithTimeout(ctx, route.Timeout)
			defer cancel()
			ctx = limited
		}
		r := c.Request.WithContext(ctx)
		r.ContentLength, r.TransferEncoding, r.Body = int64(len(body)), nil, http.NoBody
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		}
		proxy.ServeHTTP(to, r)
	}
}

// reads says whether a request asks for something that is to be read.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// index answers GET / with the ways on.
func index(routes []gateway.Route) gin.HandlerFunc {
	links := []string{"/docs", "/openapi.yaml", "/problems", "/readyz"}
	for _, route := range routes {
		links = append(links, route.Prefix)
	}
	return func(c *gin.Context) {
		if !wantsHTML(c) {
			c.String(http.StatusOK, "Millrace\n\n%s\n", strings.Join(links, "\n"))
			return
		}
		var b strings.Builder
		b.WriteString("<ul>\n")
		for _, link := range links {
			fmt.Fprintf(&b, "<li><a href=\"%[1]s\">%[1]s</a></li>\n", html.EscapeString(link))
		}
		b.WriteString("</ul>\n")
		sendHTML(c, "Millrace", b.String())
	}
}
