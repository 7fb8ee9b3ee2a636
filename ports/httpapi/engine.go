package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Service is what the HTTP sides of all services have in common. Only Name must be given.
type Service struct {
	Name     string       // as in messages; it stands on spans
	Health   *Health      // nil is always ready
	Metrics  http.Handler // answers /metrics; nil answers 404
	Logger   *slog.Logger
	Observer Observer

	Traces     trace.TracerProvider
	Propagator propagation.TextMapPropagator // nil is W3C Trace Context
}

// Observer is told about every request that was answered.
type Observer interface {
	// Request gets the method ("other" for one that HTTP does not define), the route's template
	// ("unmatched" for none), the status and the time that the answer took, of a stream until it began.
	Request(method, route string, status int, took time.Duration)
}

func (s Service) withDefaults() Service {
	if s.Health == nil {
		s.Health = NewHealth(0)
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Observer == nil {
		s.Observer = unobserved{}
	}
	if s.Traces == nil {
		s.Traces = noop.NewTracerProvider()
	}
	if s.Propagator == nil {
		s.Propagator = propagation.TraceContext{}
	}
	return s
}

type unobserved struct{}

func (unobserved) Request(string, string, int, time.Duration) {}

// newEngine makes a router that already answers what every service answers. Middleware,
// outermost first: span (so that everything below is inside it), observation (which must see the
// status of a recovered panic), security headers, recovery.
func newEngine(s Service) *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // otherwise gin writes its routes to stdout
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false // a redirected POST is a lost body
	e.UseRawPath = true             // an escaped slash is part of a name
	e.UnescapePathValues = true
	_ = e.SetTrustedProxies(nil) // cannot fail for nil

	e.Use(traced(s), withTraceID(s.Propagator), observed(s), secured, recovered(s.Logger))
	w := problems{log: s.Logger}
	e.NoRoute(func(c *gin.Context) { w.write(c, errNoRoute) })
	e.NoMethod(func(c *gin.Context) { w.write(c, errNoMethod) })

	answer(e, "/livez", live)
	answer(e, "/readyz", s.Health.ready)
	answer(e, "/healthz", s.Health.ready)
	if s.Metrics != nil {
		answer(e, "/metrics", gin.WrapH(s.Metrics))
	}
	answer(e, "/problems", problemList)
	answer(e, "/problems/:code", w.page)
	return e
}

// answer puts a handler on GET and HEAD.
func answer(r gin.IRoutes, path string, h gin.HandlerFunc) {
	r.GET(path, h)
	r.HEAD(path, h)
}

// sendJSON answers with one of the contract's models.
func sendJSON(c *gin.Context, status int, model any) {
	body, err := json.Marshal(model)
	if err != nil { // models hold nothing that cannot be encoded
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(status, jsonType, body)
}
