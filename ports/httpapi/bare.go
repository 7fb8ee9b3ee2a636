package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// BareConfig is a service that has no API of its own.
type BareConfig struct {
	Service
	// Extra are more routes, by path; each is answered to GET and HEAD.
	Extra map[string]http.Handler
}

// NewBare makes the HTTP side of payment, notification and the orchestrator.
func NewBare(cfg BareConfig) http.Handler {
	cfg.Service = cfg.withDefaults()
	e := newEngine(cfg.Service)
	for path, h := range cfg.Extra {
		answer(e.Group("", limited), path, gin.WrapH(h))
	}
	return e
}
