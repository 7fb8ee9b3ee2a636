package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tokenOf is what `millrace token` prints with those settings.
func tokenOf(t *testing.T, settings []string, flags ...string) string {
	t.Helper()
	c := spawn(t, t, settings, append([]string{"token"}, flags...)...)
	c.ends(t, 15*time.Second, 0)
	return "Bearer " + strings.TrimSpace(c.stdout.String())
}

// A user who tries AUTH_MODE=jwt out sets nothing else.
func TestWithTokensEverybodySeesTheirOwnOrders(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, "AUTH_MODE=jwt")
	own, other, operator := tokenOf(t, nil), tokenOf(t, nil, "--user", "usr_002"), tokenOf(t, nil, "--user", "ops", "--scope", "orders:all")

	asks := func(method, path, body, token string, status int, code string) answer {
		t.Helper()
		var headers []string
		if token != "" {
			headers = []string{"Authorization", token}
		}
		a, err := s.ask(method, path, body, headers...)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != status || a.code() != code {
			t.Errorf("%s %s: %v, want %d %s", method, path, a, status, code)
		}
		return a
	}
	body := wish{}.body()
	if a := asks(http.MethodPost, "/api/v1/orders", body, "", 401, "unauthenticated"); a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("it challenges with %q", a.header.Get("WWW-Authenticate"))
	}
	if a := asks(http.MethodPost, "/api/v1/orders", body, own+"x", 401, "invalid_token"); a.header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
		t.Errorf("it challenges with %q", a.header.Get("WWW-Authenticate"))
	}
	stranger := tokenOf(t, []string{"JWT_SECRET=another-secret-of-thirty-two-bytes"})
	asks(http.MethodGet, "/api/v1/orders", "", stranger, 401, "invalid_token")
	asks(http.MethodPost, "/api/v1/orders", body, other, 403, "forbidden_user")
	if status := s.status(ordersPort, "/api/v1/orders"); status != http.StatusUnauthorized {
		t.Errorf("past the gateway it answers %d", status)
	}
	asks(http.MethodGet, "/api/v1/products", "", "", 200, "")
	asks(http.MethodGet, "/api/v1/stock/SKU-123", "", "", 200, "")

	var accepted struct{ OrderID string }
	if err := json.Unmarshal(asks(http.MethodPost, "/api/v1/orders", body, own, 202, "").body, &accepted); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/orders/" + accepted.OrderID
	await(t, soon, "the order has ended", func() bool {
		var o order
		a := asks(http.MethodGet, path, "", own, 200, "")
		return json.Unmarshal(a.body, &o) == nil && o.Status == "CONFIRMED"
	})
	asks(http.MethodGet, path, "", other, 404, "order_not_found")
	asks(http.MethodPost, path+"/cancel", "", other, 404, "order_not_found")
	asks(http.MethodPost, path+"/cancel", "", own, 409, "order_settled")
	asks(http.MethodGet, path, "", operator, 200, "")
	for token, sees := range map[string]bool{own: true, other: false, operator: true} {
		if list := asks(http.MethodGet, "/api/v1/orders", "", token, 200, ""); strings.Contains(string(list.body), accepted.OrderID) != sees {
			t.Errorf("it lists %s", list.body)
		}
	}

	c := spawn(t, t, []string{"MILLRACE_TOKEN=" + strings.TrimPrefix(other, "Bearer ")}, "order", "place", "--user", "usr_002", "--wait", "--json", "--url", s.url(gatewayPort, ""))
	c.ends(t, time.Minute, 0)
	if !strings.Contains(c.stdout.String(), `"CONFIRMED"`) {
		t.Errorf("the command line says %s", c.stdout)
	}
	s.terminate(t)
}

func TestTokensOfTheDemonstrationAreRefusedWhereOthersCanReachAService(t *testing.T) {
	skipShort(t)
	t.Parallel()
	refuses(t, []string{"AUTH_MODE=jwt"}, []string{"serve", "api-gateway"}, "AUTH_MODE is jwt", "JWT_SECRET", "JWT_JWKS_URL")
	refuses(t, []string{"AUTH_MODE=jwt", "MILLRACE_ENV=production"}, up(filepath.Join(t.TempDir(), "data"), freeBlock(t)), "AUTH_MODE is jwt", "JWT_SECRET")
	for code, settings := range map[int][]string{
		5: {"MILLRACE_ENV=production"},
		1: {"JWT_JWKS_URL=https://idp.example/keys"},
	} {
		c := spawn(t, t, settings, "token")
		c.ends(t, 15*time.Second, code)
		if c.stdout.String() != "" || strings.Count(c.stderr.String(), "\n") != 1 {
			t.Errorf("%v: it says %q and %q", settings, c.stdout, c.stderr)
		}
	}
}
