package httpapi

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"millrace/ports/httpapi/contract"
)

// Check asks whether one dependency is there.
type Check struct {
	Name string
	// Ready gives nil, or what is missing. It returns when its context ends.
	Ready func(ctx context.Context) error
}

// checkLimit is how long checks may take when nothing else is said.
const checkLimit = 2 * time.Second

// Health says whether a service can work. Use NewHealth.
type Health struct {
	checks   []Check
	limit    time.Duration
	draining atomic.Bool
}

// NewHealth makes a Health that asks all checks at once and waits for them up to limit, two
// seconds when that is zero.
func NewHealth(limit time.Duration, checks ...Check) *Health {
	if limit <= 0 {
		limit = checkLimit
	}
	return &Health{checks: checks, limit: limit}
}

// Drain makes the service not ready for good. Call it first when the service is told to stop,
// so that whoever sends it work stops before it closes its doors.
func (h *Health) Drain() { h.draining.Store(true) }

// State asks every check. It is safe for concurrent use.
func (h *Health) State(ctx context.Context) contract.Readiness {
	state := contract.Readiness{Status: contract.Ready, Missing: []string{}, Checks: make([]contract.ReadinessCheck, len(h.checks))}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	answers := make([]chan error, len(h.checks))
	for i, check := range h.checks {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- check.Ready(ctx) }()
	}
	for i, check := range h.checks {
		var err error
		select {
		case err = <-answers[i]:
		case <-ctx.Done():
			select {
			case err = <-answers[i]: // both had come: the answer says more
			default:
				err = ctx.Err()
			}
		}
		state.Checks[i] = contract.ReadinessCheck{Name: check.Name, Ok: err == nil}
		if err != nil {
			detail := err.Error()
			state.Checks[i].Detail = &detail
			state.Missing = append(state.Missing, check.Name)
			state.Status = contract.Waiting
		}
	}
	if h.draining.Load() {
		state.Status = contract.Draining
	}
	return state
}

func (h *Health) ready(c *gin.Context) {
	state := h.State(c.Request.Context())
	status := http.StatusOK
	if state.Status != contract.Ready {
		status = http.StatusServiceUnavailable
	}
	c.Header("Cache-Control", "no-store")
	sendJSON(c, status, state)
}

func live(c *gin.Context) { c.Data(http.StatusOK, jsonType, []byte(`{"status":"ok"}`)) }
