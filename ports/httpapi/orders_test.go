package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"millrace/domain/order"
	"millrace/ports/httpapi/contract"
)

func TestAnOrderIsShownAsTheContractSays(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Failed, "out_of_stock",
		order.Entry{Seq: 1, At: noon, Event: "OrderCreated", Status: order.Pending, EventID: "e1"},
		order.Entry{Seq: 2, At: noon.Add(1500 * time.Microsecond), Event: "OrderCompleted", Status: order.Failed, EventID: "e2"})
	r := wantStatus(t, ask(t, s.handler(), get("/api/v1/orders/ord_1")), http.StatusOK)
	want := `{"orderId":"ord_1","userId":"usr_001","status":"FAILED","items":[{"sku":"SKU-123","qty":2,"price":1200}],` +
		`"currency":"LKR","total":2400,"reason":"out_of_stock","createdAt":"2026-01-02T12:00:00.000000Z",` +
		`"updatedAt":"2026-01-02T12:00:00.082000Z","version":4,"allowedActions":[],"timeline":[` +
		`{"seq":1,"at":"2026-01-02T12:00:00.000000Z","event":"OrderCreated","status":"PENDING","eventId":"e1"},` +
		`{"seq":2,"at":"2026-01-02T12:00:00.001500Z","event":"OrderCompleted","status":"FAILED","eventId":"e2"}]}`
	if got := text(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAnOrderWithoutAReasonHasNullAndMayBeCancelled(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Paid, "")
	body := text(t, ask(t, s.handler(), get("/api/v1/orders/ord_1")))
	if !strings.Contains(body, `"reason":null`) || !strings.Contains(body, `"allowedActions":["cancel"]`) || !strings.Contains(body, `"timeline":[]`) {
		t.Errorf("got %s", body)
	}
}

func TestAnOrderThatHasNotChangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Paid, "")
	h := s.handler()
	tag := ask(t, h, get("/api/v1/orders/ord_1")).Header.Get("ETag")
	if tag != `"4"` {
		t.Fatalf("the tag is %s", tag)
	}
	for _, match := range []string{tag, "*", `"1", ` + tag, "W/" + tag} {
		r := wantStatus(t, ask(t, h, get("/api/v1/orders/ord_1", "If-None-Match", match)), http.StatusNotModified)
		wantHeader(t, r, "ETag", tag)
		if text(t, r) != "" {
			t.Errorf("%s: it has a body", match)
		}
	}
	for _, match := range []string{`"5"`, `4`, ``} {
		wantStatus(t, ask(t, h, get("/api/v1/orders/ord_1", "If-None-Match", match)), http.StatusOK)
	}
}

func TestOrdersThatDoNotExistOrCannotExist(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	for _, suffix := range []string{"", "/cancel"} {
		method := http.MethodGet
		if suffix != "" {
			method = http.MethodPost
		}
		p := problem(t, wantStatus(t, ask(t, h, asked{method: method, path: "/api/v1/orders/ord_9" + suffix}), http.StatusNotFound))
		if p.Code != "order_not_found" {
			t.Errorf("got %s", p.Code)
		}
		for _, id := range []string{"9", "ord_", "ord_%00", "ord_a%2Fb", "ord_" + strings.Repeat("x", 65)} {
			p := problem(t, wantStatus(t, ask(t, h, asked{method: method, path: "/api/v1/orders/" + id + suffix}), http.StatusBadRequest))
			if p.Code != "invalid_order_id" || p.Errors[0].Pointer != "orderId" {
				t.Errorf("%s: %s with %v", id, p.Code, p.Errors)
			}
		}
	}
}

func TestACancelIsAcceptedHoweverOftenItIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Processing, "")
	h := s.handler()
	for range 2 {
		r := wantStatus(t, ask(t, h, asked{method: http.MethodPost, path: "/api/v1/orders/ord_1/cancel"}), http.StatusAccepted)
		if got := text(t, r); got != `{"orderId":"ord_1","status":"PROCESSING"}` {
			t.Errorf("got %s", got)
		}
	}
	if s.sent != 1 {
		t.Errorf("the saga was asked %d times", s.sent)
	}
}

func TestAnOrderThatHasEndedCannotBeCancelled(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.has("ord_1", order.Confirmed, "")
	p := problem(t, wantStatus(t, ask(t, s.handler(), asked{method: http.MethodPost, path: "/api/v1/orders/ord_1/cancel"}), http.StatusConflict))
	if p.Code != "order_settled" {
		t.Errorf("got %s", p.Code)
	}
}

func TestPagesFollowEachOtherByCursorToTheEnd(t *testing.T) {
	t.Parallel()
	s := newShop()
	for i := range 5 {
		s.has(order.ID(fmt.Sprintf("ord_%d", i)), order.Paid, "")
	}
	h := s.handler()
	var ids []string
	path := "/api/v1/orders?limit=2"
	for range 10 {
		var page contract.OrderPage
		if err := json.Unmarshal([]byte(text(t, wantStatus(t, ask(t, h, get(path)), http.StatusOK))), &page); err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Items {
			ids = append(ids, o.OrderId)
		}
		if page.NextCursor == nil {
			break
		}
		path = "/api/v1/orders?limit=2&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	if got := fmt.Sprint(ids); got != "[ord_4 ord_3 ord_2 ord_1 ord_0]" {
		t.Errorf("got %s", got)
	}
}

func TestAnEmptyListIsAListAndHasNoCursor(t *testing.T) {
	t.Parallel()
	if got := text(t, ask(t, newShop().handler(), get("/api/v1/orders?status=&userId=&from=&to=&limit=&cursor="))); got != `{"items":[],"nextCursor":null}` {
		t.Errorf("got %s", got)
	}
}

func TestEveryFilterReachesTheStore(t *testing.T) {
	t.Parallel()
	s := newShop()
	wantStatus(t, ask(t, s.handler(), get("/api/v1/orders?status=PAID&userId=usr_001&from=2026-01-01T05:30:00%2B05:30&to=2026-01-02T00:00:00.5Z&limit=7&cursor=b3JkXzk")), http.StatusOK)
	f := s.seen
	if f.Status != order.Paid || f.UserID != "usr_001" || f.Limit != 7 || f.Before != "ord_9" ||
		f.From.Format(time.RFC3339Nano) != "2026-01-01T00:00:00Z" || f.To.Format(time.RFC3339Nano) != "2026-01-02T00:00:00.5Z" {
		t.Errorf("the store saw %+v", f)
	}
}

func TestEveryWrongFilterIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, code, pointer string }{
		{"status=paid", "invalid_status", "status"},
		{"userId=a%20b", "invalid_user_id", "userId"},
		{"from=yesterday", "invalid_time", "from"},
		{"from=2026-01-01", "invalid_time", "from"},
		{"to=2026-13-01T00:00:00Z", "invalid_time", "to"},
		{"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid_range", "to"},
		{"limit=0", "invalid_limit", "limit"},
		{"limit=201", "invalid_limit", "limit"},
		{"limit=ten", "invalid_limit", "limit"},
		{"limit=99999999999999999999", "invalid_limit", "limit"},
		{"cursor=%25%25", "invalid_cursor", "cursor"},
		{"cursor=eHl6", "invalid_cursor", "cursor"},
		{"user=usr_001", "unknown_parameter", "user"},
		{"limit=1&limit=2", "duplicate_parameter", "limit"},
		{"limit=%zz", "malformed_query", ""},
		{"a;b", "malformed_query", ""},
	} {
		t.Run(c.query, func(t *testing.T) {
			t.Parallel()
			p := problem(t, wantStatus(t, ask(t, newShop().handler(), get("/api/v1/orders?"+c.query)), http.StatusBadRequest))
			if p.Code != c.code || len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
				t.Errorf("want %s at %q, got %s with %v", c.code, c.pointer, p.Code, p.Errors)
			}
		})
	}
}

func TestProductsAreListedAndShown(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	one := `{"sku":"SKU-123","name":"Water wheel","price":1200,"currency":"LKR"}`
	if got := text(t, ask(t, h, get("/api/v1/products/SKU-123"))); got != one {
		t.Errorf("got %s", got)
	}
	if got := text(t, ask(t, h, get("/api/v1/products"))); !strings.HasPrefix(got, `{"items":[`+one) {
		t.Errorf("got %s", got)
	}
	if p := problem(t, wantStatus(t, ask(t, h, get("/api/v1/products/a%2Fb")), http.StatusNotFound)); p.Code != "product_not_found" {
		t.Errorf("got %s", p.Code)
	}
}
