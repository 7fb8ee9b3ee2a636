package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	ordering "millrace/app/order"
)

// Verifier tells who sent a request, by the token that came with it.
type Verifier interface {
	// Verify gives the caller whom a token names. It fails with fault.Invalid, code invalid_token and a detail that
	// whoever sent the token may read, when it is not to be taken, and with fault.Unavailable while nobody can tell.
	Verify(ctx context.Context, token string) (ordering.Caller, error)
}

// challenges are what WWW-Authenticate says beside a problem (RFC 6750, section 3).
var challenges = map[string]string{
	errNoToken.Code:                "Bearer",
	"invalid_token":                `Bearer error="invalid_token"`,
	ordering.ErrForbiddenUser.Code: `Bearer error="insufficient_scope", scope="` + ordering.ScopeAll + `"`,
}

const callerKey = "millrace/caller"

// authenticated lets a request on when its token says who sent it. With no Verifier it lets all of them on.
func authenticated(v Verifier, w problems) gin.HandlerFunc {
	if v == nil {
		return func(*gin.Context) {}
	}
	return func(c *gin.Context) {
		token, ok := bearer(c.Request.Header)
		if !ok {
			w.write(c, errNoToken)
			return
		}
		caller, err := v.Verify(c.Request.Context(), token)
		if err != nil {
			w.write(c, err)
			return
		}
		c.Set(callerKey, caller)
	}
}

// caller is who sent the request. Where somebody has to say so and nobody was asked, it is the zero Caller, who may
// touch nothing.
func (cfg OrdersConfig) caller(c *gin.Context) ordering.Caller {
	if cfg.Verifier == nil {
		return ordering.Anyone()
	}
	v, _ := c.Get(callerKey)
	caller, _ := v.(ordering.Caller)
	return caller
}

// bearer reads the Authorization header (RFC 6750, section 2.1). Two of them are none: nobody can tell which one counts.
func bearer(h http.Header) (token string, ok bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
