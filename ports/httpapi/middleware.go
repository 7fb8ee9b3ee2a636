package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// requestLimit is how long a service works on one request: a little less than the gateway waits
// for an order, so that the caller learns from the service what was slow.
const requestLimit = 9 * time.Second

// traced opens the server's span. Probes and scrapes have none: they would drown the others.
func traced(s Service) gin.HandlerFunc {
	return otelgin.Middleware(s.Name,
		otelgin.WithTracerProvider(s.Traces),
		otelgin.WithPropagators(s.Propagator),
		otelgin.WithMeterProvider(noop.NewMeterProvider()), // Observer counts, under our names
		otelgin.WithGinFilter(func(c *gin.Context) bool {
			switch c.Request.URL.Path {
			case "/livez", "/readyz", "/healthz", "/metrics":
				return false
			}
			return true
		}),
	)
}

// withTraceID gives a request that has no span a trace id of its own, or the caller's: every
// problem names one, and messages carry it on.
func withTraceID(p propagation.TextMapPropagator) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx := c.Request.Context()
		if !trace.SpanContextFromContext(ctx).HasTraceID() {
			ctx = p.Extract(ctx, propagation.HeaderCarrier(c.Request.Header))
			if !trace.SpanContextFromContext(ctx).IsValid() {
				ctx = trace.ContextWithSpanContext(ctx, newSpanContext())
			}
			c.Request = c.Request.WithContext(ctx)
		}
		c.Next()
	}
}

func newSpanContext() trace.SpanContext {
	var id struct {
		trace trace.TraceID
		span  trace.SpanID
	}
	_, _ = rand.Read(id.trace[:]) // crypto/rand never fails
	_, _ = rand.Read(id.span[:])
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id.trace, SpanID: id.span})
}

// observed tells the Observer and, at debug, the log about every answer. The Observer hears how long a stream took to
// begin, and the log how long it lasted.
func observed(s Service) gin.HandlerFunc {
	return func(c *gin.Context) {
		begun := time.Now() // a duration, not a time of day: no clock is needed
		defer func() {
			took, status, route := time.Since(begun), c.Writer.Status(), c.FullPath()
			if named := c.GetString(routeKey); named != "" {
				route = named
			}
			if route == "" {
				route = "unmatched"
			}
			answered := took
			if at := c.GetTime(begunKey); !at.IsZero() {
				answered = at.Sub(begun)
			}
			s.Observer.Request(methodLabel(c.Request.Method), route, status, answered)
			if ctx := c.Request.Context(); s.Logger.Enabled(ctx, slog.LevelDebug) {
				s.Logger.DebugContext(ctx, "request", "method", c.Request.Method, "route", route,
					"path", c.Request.URL.Path, "status", status, "took", took, "traceId", traceID(ctx))
			}
		}()
		c.Next()
	}
}

// methodLabel keeps a caller from making up new time series.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}

// securityHeaders stand on every answer. Pages that need more than plain text loosen the policy.
var securityHeaders = [...]struct{ name, value string }{
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
}

func secured(c *gin.Context) {
	h := c.Writer.Header()
	for _, header := range securityHeaders {
		h.Set(header.name, header.value)
	}
	c.Next()
}

// recovered makes a panic a 500. http.ErrAbortHandler goes on: it is how net/http is told to
// break an answer off.
func recovered(log *slog.Logger) gin.HandlerFunc {
	w := problems{log: log}
	return func(c *gin.Context) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			log.ErrorContext(c.Request.Context(), "a handler panicked", "panic", fmt.Sprint(p),
				"route", c.FullPath(), "traceId", traceID(c.Request.Context()), "stack", string(debug.Stack()))
			if !c.Writer.Written() {
				w.send(c.Writer, c.Request, problemOf(errInternal))
			}
			c.Abort()
		}()
		c.Next()
	}
}

// limited ends the work on a request after requestLimit.
func limited(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestLimit)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}
