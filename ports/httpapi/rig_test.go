package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"millrace/api"
	"millrace/app/messages"
	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/ports/httpapi"
	"millrace/ports/httpapi/contract"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// shop is an order service in memory: real use cases over a store that keeps what a committed
// transaction staged.
type shop struct {
	mu      sync.Mutex
	orders  map[order.ID]*order.Order
	replies map[ordering.Key]ordering.Reply
	sent    int
	seen    ordering.Filter
	fails   error // what the store answers instead
	limits  ordering.Limits
	asks    httpapi.Verifier      // nil asks nobody for a token
	follow  *ordering.FollowOrder // for two at a time
	reading atomic.Int64          // streams that are open
}

func newShop() *shop {
	s := &shop{
		orders: map[order.ID]*order.Order{}, replies: map[ordering.Key]ordering.Reply{},
		limits: ordering.Limits{InHand: 100, UnderWay: 100},
	}
	s.follow = ordering.NewFollowOrder(s, s, 2, func(n int) { s.reading.Store(int64(n)) })
	return s
}

func (s *shop) handler() http.Handler { return s.logged(nil) }

func (s *shop) logged(logger *slog.Logger) http.Handler {
	clock := func() time.Time { return noon }
	return httpapi.NewOrders(httpapi.OrdersConfig{
		Service:  httpapi.Service{Name: messages.OrderService, Logger: logger},
		Place:    ordering.NewAdmission(ordering.NewPlaceOrder(s, s, s, s, clock), nil, s.limits, func(string) {}, clock),
		Cancel:   ordering.NewCancelOrder(s, clock),
		Show:     ordering.NewShowOrders(s),
		Follow:   s.follow,
		Products: ordering.NewShowProducts(s),
		Verifier: s.asks,
	})
}

// Do stages into a copy and keeps it when fn succeeds.
func (s *shop) Do(_ context.Context, fn func(ordering.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	t := &tx{shop: s, orders: map[order.ID]*order.Order{}, replies: map[ordering.Key]ordering.Reply{}}
	if err := fn(t); err != nil {
		return err
	}
	maps.Copy(s.orders, t.orders)
	maps.Copy(s.replies, t.replies)
	s.sent += t.sent
	return nil
}

type tx struct {
	shop    *shop
	orders  map[order.ID]*order.Order
	replies map[ordering.Key]ordering.Reply
	sent    int
}

func (t *tx) Reply(_ context.Context, k ordering.Key) (*ordering.Reply, error) {
	if r, ok := t.shop.replies[k]; ok {
		return &r, nil
	}
	return nil, nil
}
func (t *tx) KeepReply(r ordering.Reply)     { t.replies[r.Key] = r }
func (t *tx) Add(o *order.Order)             { t.orders[o.ID()] = o }
func (t *tx) KeepCancel(o *order.Order)      { t.orders[o.ID()] = o }
func (t *tx) Publish(messages.Message) error { t.sent++; return nil }
func (t *tx) Orders(_ context.Context, ids ...order.ID) (map[order.ID]*order.Order, error) {
	found := map[order.ID]*order.Order{}
	for _, id := range ids {
		if o, ok := t.shop.orders[id]; ok {
			found[id] = order.Restore(o.Snapshot())
		}
	}
	return found, nil
}

// The shop is its own catalog, cache, reader and source of ids.
func (s *shop) catalog() []ordering.Product {
	return []ordering.Product{
		{SKU: "SKU-123", Name: "Water wheel", Price: 1200, Currency: "LKR"},
		{SKU: "SKU-LOW", Name: "Mill stone", Price: 500, Currency: "LKR"},
	}
}

func (s *shop) Products(_ context.Context, skus []string) (map[string]ordering.Product, error) {
	found := map[string]ordering.Product{}
	for _, p := range s.catalog() {
		if slices.Contains(skus, p.SKU) {
			found[p.SKU] = p
		}
	}
	return found, nil
}
func (s *shop) All(context.Context) ([]ordering.Product, error) { return s.catalog(), s.fails }
func (s *shop) Get(context.Context, ordering.Key) (*ordering.Reply, bool) {
	return nil, false
}
func (s *shop) Put(context.Context, ordering.Reply) {}
func (s *shop) NewOrderID() order.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return order.ID(fmt.Sprintf("ord_%04d", len(s.orders)+1))
}

func (s *shop) Order(_ context.Context, id order.ID) (*order.Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.orders[id]; ok {
		return o, s.fails
	}
	return nil, order.ErrNotFound
}

func (s *shop) Since(_ context.Context, seen map[order.ID]int) ([]ordering.Progress, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var moved []ordering.Progress
	for id, seq := range seen {
		if o := s.orders[id].Snapshot(); len(o.Timeline) > seq {
			moved = append(moved, ordering.Progress{ID: id, Status: o.Status, Reason: o.Reason, Entries: o.Timeline[seq:]})
		}
	}
	return moved, s.fails
}

func (s *shop) List(_ context.Context, f ordering.Filter) ([]*order.Order, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = f
	var page []*order.Order
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(s.orders))) {
		if f.Before != "" && id >= f.Before || f.UserID != "" && f.UserID != string(s.orders[id].User()) {
			continue
		}
		if len(page) == f.Limit {
			return page, true, s.fails
		}
		page = append(page, s.orders[id])
	}
	return page, false, s.fails
}

// has puts an order into the shop as the saga would have left it.
func (s *shop) has(id order.ID, status order.Status, reason string, timeline ...order.Entry) {
	snapshot := order.Snapshot{
		ID: id, UserID: "usr_001", Items: []order.Item{{SKU: "SKU-123", Qty: 2, Price: 1200}}, Status: status, Reason: reason,
		CreatedAt: noon, UpdatedAt: noon.Add(82 * time.Millisecond), Version: 4, Timeline: timeline,
	}
	snapshot.Total.Minor, snapshot.Total.Currency = 2400, mustLKR()
	s.orders[id] = order.Restore(snapshot)
}

// asked is a request, and how it is sent.
type asked struct {
	method, path, body string
	header             http.Header
}

func post(body string, header ...string) asked {
	a := asked{method: http.MethodPost, path: "/api/v1/orders", body: body, header: http.Header{"Content-Type": {"application/json"}}}
	for i := 0; i+1 < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

func get(path string, header ...string) asked {
	a := asked{method: http.MethodGet, path: path, header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

const usual = `{"userId":"usr_001","items":[{"sku":"SKU-123","qty":2,"price":1200}],"currency":"LKR","paymentMethod":"pm_card_ok"}`

// ask sends a request and checks the answer against api/openapi.yaml.
func ask(t testing.TB, h http.Handler, a asked) *http.Response {
	t.Helper()
	r, w := send(t, h, a)
	conforms(t, r, w.Result(), w.Body.Bytes())
	return w.Result()
}

// send is ask for what the contract does not have.
func send(t testing.TB, h http.Handler, a asked) (*http.Request, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), a.method, a.path, strings.NewReader(a.body))
	if a.body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	maps.Copy(r.Header, a.header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return r, w
}

func conforms(t testing.TB, r *http.Request, response *http.Response, body []byte) {
	t.Helper()
	route, params, err := contractRouter(t).FindRoute(r)
	if err != nil {
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 response.StatusCode, Header: response.Header,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, MultiError: true,
			ExcludeResponseBody: !strings.Contains(response.Header.Get("Content-Type"), "json"),
		},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s answered %d, against the contract: %v\n%s", r.Method, r.URL, response.StatusCode, err, body)
	}
}

var contractRouter = func() func(testing.TB) routers.Router {
	load := sync.OnceValues(func() (routers.Router, error) {
		doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
		if err != nil {
			return nil, err
		}
		return legacy.NewRouter(doc)
	})
	return func(t testing.TB) routers.Router {
		t.Helper()
		router, err := load()
		if err != nil {
			t.Fatal(err)
		}
		return router
	}
}()

// problem reads a problem, and checks what holds for all of them.
func problem(t testing.TB, r *http.Response) contract.Problem {
	t.Helper()
	if kind := r.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("status %d came as %s", r.StatusCode, kind)
	}
	var p contract.Problem
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != r.StatusCode {
		t.Errorf("the problem says %d, the status is %d", p.Status, r.StatusCode)
	}
	if len(p.TraceId) != 32 || p.TraceId == strings.Repeat("0", 32) {
		t.Errorf("the trace id is %q", p.TraceId)
	}
	if p.Title == "" || p.Detail == "" || p.Instance == "" || p.Type != "/problems/"+p.Code {
		t.Errorf("something is missing: %+v", p)
	}
	return p
}

func wantStatus(t testing.TB, r *http.Response, want int) *http.Response {
	t.Helper()
	if r.StatusCode != want {
		t.Fatalf("the status is %d, want %d: %s", r.StatusCode, want, text(t, r))
	}
	return r
}

func wantHeader(t testing.TB, r *http.Response, name, want string) {
	t.Helper()
	if got := strings.Join(r.Header.Values(name), " | "); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return string(b)
}

var errDown = fault.New(fault.Unavailable, "database_unavailable", "dial tcp 10.0.0.7:5432: refused")
