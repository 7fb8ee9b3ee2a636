package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/trace"

	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/ports/httpapi/contract"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"

	// retryAfter is the number of seconds after which trying again makes sense, where nobody knows better.
	retryAfter = "1"
	// clientGone is what nginx, and many dashboards with it, call an answer that nobody waits for.
	clientGone = 499
	// maxErrors is how many mistakes one problem names.
	maxErrors = 20
)

// Faults of HTTP itself.
var (
	errInternal     = fault.New(fault.Internal, "internal", "something went wrong on our side")
	errTimeout      = fault.New(fault.Unavailable, "timeout", "the service did not finish in time")
	errNoRoute      = fault.New(fault.NotFound, "route_not_found", "there is nothing at this path")
	errNoMethod     = fault.New(fault.Invalid, "method_not_allowed", "this path does not take this method: see the Allow header")
	errTooLarge     = fault.New(fault.Invalid, "body_too_large", fmt.Sprintf("the body has more than %d bytes", MaxBody))
	errNotJSON      = fault.New(fault.Invalid, "unsupported_media_type", "send the body as application/json, uncompressed and in UTF-8")
	errCrowded      = fault.New(fault.Unavailable, "upstream_crowded", "the service has too many requests in hand")
	errNoToken      = fault.New(fault.Invalid, "unauthenticated", "no token came with the request: send one Authorization header, Bearer and a JWT")
	errNoSuchAdvice = fault.New(fault.NotFound, "problem_not_found", "there is no problem with that code")
)

// statusOf is what each kind of fault is in HTTP.
var statusOf = map[fault.Kind]int{
	fault.Invalid:     http.StatusBadRequest,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal:    http.StatusInternalServerError,
}

// problemOf says what a caller may know about err. What went wrong behind the API stays in the
// log: only the details of faults that the caller caused are handed out.
func problemOf(err error) contract.Problem {
	f, ok := fault.Find(err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		f = errTimeout
	default:
		f = errInternal
	}
	p := contract.Problem{
		Type: "about:blank", Title: http.StatusText(statusOf[f.Kind]),
		Status: statusOf[f.Kind], Detail: f.Detail, Code: f.Code,
	}
	a, known := adviceOf(f.Code)
	if known {
		p.Type, p.Title, p.Status = "/problems/"+a.code, a.title, a.status
	}
	switch f.Kind {
	case fault.Internal:
		p.Detail = errInternal.Detail
	case fault.Unavailable:
		p.Detail = "a dependency is away: try again"
		if known {
			p.Detail = a.title
		}
	case fault.Invalid:
		if p.Status == http.StatusBadRequest {
			mistakes(&p, err)
		}
	}
	return p
}

// mistakes lists everything that is wrong with a request. The code is that of the mistake, or
// invalid_request when there are several kinds.
func mistakes(p *contract.Problem, err error) {
	for _, f := range fault.All(err) {
		if f.Kind != fault.Invalid || len(p.Errors) == maxErrors {
			continue
		}
		p.Errors = append(p.Errors, contract.ProblemError{Pointer: f.Pointer, Detail: f.Detail})
		if f.Code != p.Code {
			p.Code = "invalid_request"
		}
	}
	if len(p.Errors) < 2 {
		return
	}
	p.Detail = fmt.Sprintf("%d mistakes were found: see errors", len(p.Errors))
	if a, ok := adviceOf(p.Code); ok {
		p.Type, p.Title = "/problems/"+a.code, a.title
	}
}

// problems writes what went wrong.
type problems struct{ log *slog.Logger }

// write answers with the problem that err is, and logs what the answer does not say.
func (w problems) write(c *gin.Context, err error) {
	ctx := c.Request.Context()
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) {
		c.AbortWithStatus(clientGone)
		return
	}
	p := problemOf(err)
	var refused interface{ RetryAfter() time.Duration }
	switch {
	case errors.As(err, &refused): // a whole crowd hears it: a line each would be a load of its own
		c.Header("Retry-After", strconv.Itoa(int(refused.RetryAfter().Seconds())))
	case p.Status == http.StatusInternalServerError:
		w.log.ErrorContext(ctx, "a request failed", "route", c.FullPath(), "error", err, "traceId", traceID(ctx))
	case p.Status > http.StatusInternalServerError:
		w.log.WarnContext(ctx, "a request could not be answered", "route", c.FullPath(), "code", p.Code, "error", err, "traceId", traceID(ctx))
	}
	if challenge := challenges[p.Code]; challenge != "" {
		c.Header("WWW-Authenticate", challenge)
	}
	c.Abort()
	w.send(c.Writer, c.Request, p)
}

// later is a refusal with the time after which there is likely to be a place.
type later struct {
	error
	wait time.Duration
}

func (l later) Unwrap() error             { return l.error }
func (l later) RetryAfter() time.Duration { return l.wait }

// send writes a problem, with what depends on the request.
func (problems) send(w http.ResponseWriter, r *http.Request, p contract.Problem) {
	p.Instance, p.TraceId = r.URL.EscapedPath(), traceID(r.Context())
	body, err := json.Marshal(p)
	if err != nil { // a struct of strings and numbers: cannot happen
		w.WriteHeader(p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	again := p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout || p.Code == ordering.ErrInProgress.Code
	if again && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // whoever does not read it has gone
}

func traceID(ctx context.Context) string {
	return trace.SpanContextFromContext(ctx).TraceID().String()
}
