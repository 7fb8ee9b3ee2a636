package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"millrace/api"
	"millrace/app/gateway"
	"millrace/app/messages"
	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/ports/httpapi"
)

// names is a Verifier whose tokens are "user" or "user scope".
type names struct{ fails error }

func (n names) Verify(_ context.Context, token string) (ordering.Caller, error) {
	if n.fails != nil {
		return ordering.Caller{}, n.fails
	}
	user, scopes, _ := strings.Cut(token, "+")
	return ordering.Identified(user, strings.Split(scopes, "+"))
}

const (
	own      = "Bearer usr_001"
	other    = "Bearer usr_002"
	operator = "Bearer ops+orders:all"
)

// guarded is a shop that asks for tokens, with an order of each of two users.
func guarded(asks httpapi.Verifier) *shop {
	s := newShop()
	s.asks = asks
	s.has("ord_1", order.Paid, "")
	s.has("ord_2", order.Paid, "")
	snapshot := s.orders["ord_2"].Snapshot()
	snapshot.UserID = "usr_002"
	s.orders["ord_2"] = order.Restore(snapshot)
	return s
}

func as(token string, a asked) asked {
	a.header = a.header.Clone()
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Authorization", token)
	return a
}

// everyCall gives a request for each call of the contract: those to orders, and the others. Ids are those of an order.
func everyCall(t *testing.T) (toOrders, others []asked) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		path = strings.NewReplacer("{orderId}", "ord_1", "{sku}", "SKU-123", "{code}", "internal").Replace(path)
		for method, call := range item.Operations() {
			a := asked{method: method, path: path, header: http.Header{}}
			if call.RequestBody != nil {
				a.body, a.header = usual, http.Header{"Content-Type": {"application/json"}}
			}
			if strings.HasPrefix(path, "/api/v1/orders") {
				toOrders = append(toOrders, a)
			} else {
				others = append(others, a)
			}
		}
	}
	if len(toOrders) < 4 || len(others) < 8 {
		t.Fatalf("the contract has only %v and %v", toOrders, others)
	}
	return toOrders, others
}

// A call that is added to the contract is guarded, or this fails.
func TestEveryCallToOrdersWantsATokenAndNoOtherDoes(t *testing.T) {
	t.Parallel()
	h := guarded(names{}).handler()
	toOrders, others := everyCall(t)
	for _, a := range toOrders {
		r := wantStatus(t, ask(t, h, a), http.StatusUnauthorized)
		wantHeader(t, r, "WWW-Authenticate", "Bearer")
		if p := problem(t, r); p.Code != "unauthenticated" {
			t.Errorf("%s %s: %s", a.method, a.path, p.Code)
		}
	}
	for _, a := range others {
		if _, w := send(t, h, a); w.Code == http.StatusUnauthorized {
			t.Errorf("%s %s wants a token", a.method, a.path)
		}
	}
}

// Nobody finds out by trying which ids there are.
func TestAnOrderOfSomebodyElseIsAnsweredLikeOneThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := guarded(names{})
	s.has("ord_1", order.Confirmed, "") // whatever follows an order is at its end at once
	h := s.handler()
	toOrders, _ := everyCall(t)
	for _, a := range toOrders {
		if !strings.Contains(a.path, "ord_1") {
			continue
		}
		there := problem(t, wantStatus(t, ask(t, h, as(other, a)), http.StatusNotFound))
		wantStatus(t, ask(t, h, as(operator, a)), map[string]int{http.MethodGet: http.StatusOK, http.MethodPost: http.StatusConflict}[a.method])
		a.path = strings.Replace(a.path, "ord_1", "ord_9", 1)
		gone := problem(t, wantStatus(t, ask(t, h, as(other, a)), http.StatusNotFound))
		there.Instance, there.TraceId = gone.Instance, gone.TraceId
		if fmt.Sprint(there) != fmt.Sprint(gone) || gone.Code != "order_not_found" {
			t.Errorf("%s %s: %+v is not %+v", a.method, a.path, there, gone)
		}
	}
	wantStatus(t, ask(t, h, as(own, asked{method: http.MethodPost, path: "/api/v1/orders/ord_2/cancel"})), http.StatusNotFound)
	if s.sent != 0 {
		t.Errorf("%d cancels were passed on", s.sent)
	}
	r := ask(t, h, as(other, get("/api/v1/orders/ord_1", "If-None-Match", `"4"`)))
	if wantStatus(t, r, http.StatusNotFound).Header.Get("ETag") != "" {
		t.Error("its version can be guessed")
	}
}

func TestAUserPlacesSeesAndCancelsTheirOwnOrders(t *testing.T) {
	t.Parallel()
	h := guarded(names{}).handler()
	wantStatus(t, ask(t, h, as(own, post(usual))), http.StatusAccepted)
	wantStatus(t, ask(t, h, as(own, get("/api/v1/orders/ord_1"))), http.StatusOK)
	wantStatus(t, ask(t, h, as(own, asked{method: http.MethodPost, path: "/api/v1/orders/ord_1/cancel"})), http.StatusAccepted)
	wantStatus(t, ask(t, h, as("bEARER  usr_001 ", get("/api/v1/orders/ord_1"))), http.StatusOK)
}

func TestAnOrderForSomebodyElseIsForbiddenUnlessAnOperatorPlacesIt(t *testing.T) {
	t.Parallel()
	s := guarded(names{})
	h := s.handler()
	r := wantStatus(t, ask(t, h, as(other, post(usual))), http.StatusForbidden)
	wantHeader(t, r, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="orders:all"`)
	if p := problem(t, r); p.Code != "forbidden_user" || !strings.Contains(p.Detail, "userId") || s.sent != 0 {
		t.Errorf("%+v, %d messages", p, s.sent)
	}
	wantStatus(t, ask(t, h, as(operator, post(usual))), http.StatusAccepted)
}

// The answer to a key is its user's alone, whoever else knows the key and the body.
func TestAStoredAnswerIsNotGivenToSomebodyElse(t *testing.T) {
	t.Parallel()
	h := guarded(names{}).handler()
	first := wantStatus(t, ask(t, h, as(own, post(usual, "Idempotency-Key", "k"))), http.StatusAccepted)
	wantStatus(t, ask(t, h, as(other, post(usual, "Idempotency-Key", "k"))), http.StatusForbidden)
	again := wantStatus(t, ask(t, h, as(own, post(usual, "Idempotency-Key", "k"))), http.StatusAccepted)
	wantHeader(t, again, "Idempotency-Replayed", "true")
	theirs := strings.Replace(usual, "usr_001", "usr_002", 1)
	fresh := wantStatus(t, ask(t, h, as(other, post(theirs, "Idempotency-Key", "k"))), http.StatusAccepted)
	if text(t, fresh) == text(t, first) || text(t, again) != text(t, first) {
		t.Errorf("first %s, again %s, somebody else's %s", text(t, first), text(t, again), text(t, fresh))
	}
}

func TestAListHasTheCallersOrdersAndAnOperatorsHasAll(t *testing.T) {
	t.Parallel()
	h := guarded(names{}).handler()
	for _, c := range []struct{ token, query, ids string }{
		{own, "", "ord_1"}, {own, "?userId=", "ord_1"}, {own, "?userId=usr_001", "ord_1"}, {other, "?limit=200", "ord_2"},
		{operator, "", "ord_2 ord_1"}, {operator, "?userId=usr_001", "ord_1"}, {"Bearer usr_003", "", ""},
	} {
		body := text(t, wantStatus(t, ask(t, h, as(c.token, get("/api/v1/orders"+c.query))), http.StatusOK))
		var ids []string
		for _, id := range []string{"ord_2", "ord_1"} {
			if strings.Contains(body, id) {
				ids = append(ids, id)
			}
		}
		if got := strings.Join(ids, " "); got != c.ids {
			t.Errorf("%s lists %q with %q, want %q", c.token, got, c.query, c.ids)
		}
	}
	r := wantStatus(t, ask(t, h, as(own, get("/api/v1/orders?userId=usr_002"))), http.StatusForbidden)
	if p := problem(t, r); p.Code != "forbidden_user" {
		t.Errorf("somebody else's list: %s", p.Code)
	}
}

func TestWhatIsNoBearerTokenIsAskedForOne(t *testing.T) {
	t.Parallel()
	h := guarded(names{}).handler()
	for _, header := range [][]string{{"Basic dXNyXzAwMTp4"}, {"Bearer"}, {"Bearer "}, {"usr_001"}, {""}, {own, own}, {"Bearer: usr_001"}} {
		a := get("/api/v1/orders")
		a.header["Authorization"] = header
		r := wantStatus(t, ask(t, h, a), http.StatusUnauthorized)
		wantHeader(t, r, "WWW-Authenticate", "Bearer")
	}
}

type waits struct{ error }

func (waits) RetryAfter() time.Duration { return 2 * time.Second }
func (w waits) Unwrap() error           { return w.error }

func TestARefusedTokenIs401AndOneThatNobodyCanCheckIs503(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for _, c := range []struct {
		fails                  error
		status                 int
		code, challenge, again string
	}{
		{fault.New(fault.Invalid, "invalid_token", "the token is not taken: it has expired"), 401, "invalid_token", `Bearer error="invalid_token"`, ""},
		{waits{fault.New(fault.Unavailable, "token_keys_unavailable", "no keys")}, 503, "token_keys_unavailable", "", "2"},
		{fault.New(fault.Unavailable, "token_keys_unavailable", "no keys"), 503, "token_keys_unavailable", "", "1"},
		{errors.New("a bug"), 500, "internal", "", ""},
	} {
		h := guarded(names{c.fails}).logged(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		r := wantStatus(t, ask(t, h, as("Bearer SECRET-TOKEN", get("/api/v1/orders/ord_1"))), c.status)
		wantHeader(t, r, "WWW-Authenticate", c.challenge)
		wantHeader(t, r, "Retry-After", c.again)
		if p := problem(t, r); p.Code != c.code || c.status == 401 && !strings.Contains(p.Detail, "expired") {
			t.Errorf("%+v", p)
		}
	}
	if strings.Contains(log.String(), "SECRET-TOKEN") || log.Len() == 0 {
		t.Errorf("the log has %s", log.String())
	}
}

func TestTheGatewayRefusesEarlyAndTheServiceChecksForItself(t *testing.T) {
	t.Parallel()
	var reached []string
	service := guarded(names{}).handler()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.URL.Path)
		service.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	at, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	h, err := httpapi.NewGateway(httpapi.GatewayConfig{
		Routes: gateway.Routes(), Verifier: names{}, Upstreams: map[string]*url.URL{messages.OrderService: at, messages.InventoryService: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	toOrders, _ := everyCall(t)
	for _, a := range append(toOrders, asked{method: http.MethodDelete, path: "/api/v1/orders"}, get("/api/v1/orders/ord_1/anything")) {
		r := wantStatus(t, ask(t, h, a), http.StatusUnauthorized)
		wantHeader(t, r, "WWW-Authenticate", "Bearer")
	}
	if reached != nil {
		t.Errorf("the service saw %v", reached)
	}
	wantStatus(t, ask(t, h, get("/api/v1/products")), http.StatusOK)
	_, stock := send(t, h, get("/api/v1/stock"))
	for _, path := range []string{"/docs", "/openapi.yaml", "/problems", "/readyz", "/livez", "/"} {
		wantStatus(t, ask(t, h, get(path)), http.StatusOK)
	}
	if stock.Code == http.StatusUnauthorized || !slices.Contains(reached, "/api/v1/stock") {
		t.Errorf("stock is answered %d, the service saw %v", stock.Code, reached)
	}
	wantStatus(t, ask(t, h, as(own, get("/api/v1/orders/ord_1"))), http.StatusOK)
	r := wantStatus(t, ask(t, h, as(other, get("/api/v1/orders/ord_1"))), http.StatusNotFound)
	problem(t, r)
	r = wantStatus(t, ask(t, h, as(other, post(usual))), http.StatusForbidden)
	wantHeader(t, r, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="orders:all"`)
	wantStatus(t, ask(t, service, get("/api/v1/orders/ord_1")), http.StatusUnauthorized)
}
