package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/app/messages"
	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/money"
	"millrace/ports/httpapi"
)

func mustLKR() money.Currency { return money.RestoreCurrency("LKR") }

func TestAnOrderIsAcceptedAndCanBeFoundAtItsLocation(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	r := wantStatus(t, ask(t, h, post(usual)), http.StatusAccepted)
	if got := text(t, r); got != `{"orderId":"ord_0001","status":"PENDING"}` {
		t.Errorf("the body is %s", got)
	}
	wantHeader(t, r, "Content-Type", "application/json")
	wantHeader(t, r, "Location", "/api/v1/orders/ord_0001")
	wantHeader(t, r, "Idempotency-Replayed", "")
	wantStatus(t, ask(t, h, get(r.Header.Get("Location"))), http.StatusOK)
}

func TestPriceAndPaymentMethodMayBeLeftOut(t *testing.T) {
	t.Parallel()
	wantStatus(t, ask(t, newShop().handler(), post(`{"userId":"u","items":[{"sku":"SKU-LOW","qty":1}],"currency":"LKR"}`)), http.StatusAccepted)
}

func TestEveryWrongFieldIsNamed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	item := func(s string) string { return `{"userId":"u","currency":"LKR","items":[` + s + `]}` }
	user := func(s string) string {
		return `{"userId":` + s + `,"currency":"LKR","items":[{"sku":"SKU-123","qty":1}]}`
	}
	with := func(s string) string {
		return `{"userId":"u","currency":"LKR","items":[{"sku":"SKU-123","qty":1}],` + s + `}`
	}
	currency := func(s string) string {
		return `{"userId":"u","currency":` + s + `,"items":[{"sku":"SKU-123","qty":1}]}`
	}
	for _, c := range []struct{ name, body, code, pointer string }{
		{"no user", `{"currency":"LKR","items":[{"sku":"SKU-123","qty":1}]}`, "missing_field", "/userId"},
		{"user is a number", user(`7`), "wrong_type", "/userId"},
		{"user is null", user(`null`), "wrong_type", "/userId"},
		{"user is empty", user(`""`), "invalid_user_id", "/userId"},
		{"user is too long", user(`"` + long + `"`), "invalid_user_id", "/userId"},
		{"user has a space", user(`"a b"`), "invalid_user_id", "/userId"},
		{"user has a zero byte", user(`"a\u0000"`), "invalid_user_id", "/userId"},
		{"user ends in a new line", user(`"a\n"`), "invalid_user_id", "/userId"},

		{"no items", `{"userId":"u","currency":"LKR"}`, "missing_field", "/items"},
		{"items is an object", `{"userId":"u","currency":"LKR","items":{}}`, "wrong_type", "/items"},
		{"items is empty", item(``), "invalid_items", "/items"},
		{"101 items", item(strings.TrimSuffix(strings.Repeat(`{"sku":"SKU-123","qty":1},`, 101), ",")), "invalid_items", "/items"},
		{"an item is a string", item(`"SKU-123"`), "wrong_type", "/items/0"},
		{"an item is null", item(`{"sku":"SKU-123","qty":1},null`), "wrong_type", "/items/1"},
		{"an item has an unknown member", item(`{"sku":"SKU-123","qty":1,"colour":"red"}`), "unknown_field", "/items/0/colour"},
		{"no sku", item(`{"qty":1}`), "missing_field", "/items/0/sku"},
		{"sku is a number", item(`{"sku":123,"qty":1}`), "wrong_type", "/items/0/sku"},
		{"sku is empty", item(`{"sku":"","qty":1}`), "unknown_sku", "/items/0/sku"},
		{"sku is too long", item(`{"sku":"` + long + `","qty":1}`), "unknown_sku", "/items/0/sku"},
		{"sku has a zero byte", item(`{"sku":"SKU\u0000","qty":1}`), "unknown_sku", "/items/0/sku"},
		{"sku is not in the catalog", item(`{"sku":"SKU-999","qty":1}`), "unknown_sku", "/items/0/sku"},
		{"sku stands there twice", item(`{"sku":"SKU-123","qty":1},{"sku":"SKU-123","qty":2}`), "duplicate_sku", "/items/1/sku"},
		{"no qty", item(`{"sku":"SKU-123"}`), "missing_field", "/items/0/qty"},
		{"qty is a string", item(`{"sku":"SKU-123","qty":"1"}`), "wrong_type", "/items/0/qty"},
		{"qty is a fraction", item(`{"sku":"SKU-123","qty":1.5}`), "wrong_type", "/items/0/qty"},
		{"qty has an exponent", item(`{"sku":"SKU-123","qty":1e2}`), "wrong_type", "/items/0/qty"},
		{"qty is true", item(`{"sku":"SKU-123","qty":true}`), "wrong_type", "/items/0/qty"},
		{"qty is zero", item(`{"sku":"SKU-123","qty":0}`), "invalid_qty", "/items/0/qty"},
		{"qty is negative", item(`{"sku":"SKU-123","qty":-1}`), "invalid_qty", "/items/0/qty"},
		{"qty is above a thousand", item(`{"sku":"SKU-123","qty":1001}`), "invalid_qty", "/items/0/qty"},
		{"qty overflows", item(`{"sku":"SKU-123","qty":99999999999999999999}`), "number_out_of_range", "/items/0/qty"},
		{"price is a string", item(`{"sku":"SKU-123","qty":1,"price":"1200"}`), "wrong_type", "/items/0/price"},
		{"price is null", item(`{"sku":"SKU-123","qty":1,"price":null}`), "wrong_type", "/items/0/price"},
		{"price is a float", item(`{"sku":"SKU-123","qty":1,"price":1200.0}`), "wrong_type", "/items/0/price"},
		{"price is not the catalog's", item(`{"sku":"SKU-123","qty":1,"price":1}`), "price_mismatch", "/items/0/price"},
		{"price is negative", item(`{"sku":"SKU-123","qty":1,"price":-1200}`), "price_mismatch", "/items/0/price"},
		{"price overflows", item(`{"sku":"SKU-123","qty":1,"price":9223372036854775808}`), "number_out_of_range", "/items/0/price"},

		{"no currency", `{"userId":"u","items":[{"sku":"SKU-123","qty":1}]}`, "missing_field", "/currency"},
		{"currency is a list", currency(`["LKR"]`), "wrong_type", "/currency"},
		{"currency is lower case", currency(`"lkr"`), "invalid_currency", "/currency"},
		{"currency is not the catalog's", currency(`"EUR"`), "currency_mismatch", "/currency"},

		{"payment method is a number", with(`"paymentMethod":1`), "wrong_type", "/paymentMethod"},
		{"payment method is empty", with(`"paymentMethod":""`), "invalid_payment_method", "/paymentMethod"},
		{"payment method is too long", with(`"paymentMethod":"` + long + `"`), "invalid_payment_method", "/paymentMethod"},
		{"unknown member", with(`"coupon":"x"`), "unknown_field", "/coupon"},
		{"unknown member that needs escapes", with(`"a/b~c":1`), "unknown_field", "/a~1b~0c"},
		{"a name in another case", with(`"PaymentMethod":"pm_card_ok"`), "unknown_field", "/PaymentMethod"},
		{"a member twice", with(`"currency":"EUR"`), "duplicate_field", "/currency"},

		{"the body is a list", `[]`, "wrong_type", ""},
		{"the body is null", `null`, "wrong_type", ""},
		{"the body is empty", ``, "malformed_json", ""},
		{"the body is cut", usual[:40], "malformed_json", ""},
		{"something follows the body", usual + usual, "malformed_json", ""},
		{"a comma too many", `{"userId":"u",}`, "malformed_json", ""},
		{"not UTF-8", user("\"\xff\""), "malformed_json", ""},
		{"nested too deeply", strings.Repeat("[", 20000), "malformed_json", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop()
			p := problem(t, wantStatus(t, ask(t, s.handler(), post(c.body)), http.StatusBadRequest))
			if p.Code != c.code || len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer || p.Errors[0].Detail == "" {
				t.Errorf("want %s at %q, got %s with %v", c.code, c.pointer, p.Code, p.Errors)
			}
			if s.sent != 0 || len(s.orders) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestSeveralMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	body := `{"userId":"a b","items":[{"sku":"SKU-123","qty":0},{"qty":"x","sku":1}],"curency":"LKR"}`
	p := problem(t, wantStatus(t, ask(t, newShop().handler(), post(body, "Idempotency-Key", `"`)), http.StatusBadRequest))
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	want := "[/curency /currency /userId /items/0/qty /items/1/sku /items/1/qty Idempotency-Key]"
	if got := fmt.Sprint(pointers); got != want || p.Code != "invalid_request" {
		t.Errorf("%s names %s, want %s", p.Code, got, want)
	}
}

func TestMistakesOfOneKindKeepTheirCode(t *testing.T) {
	t.Parallel()
	body := `{"userId":"u","currency":"LKR","items":[{"sku":"SKU-998","qty":1},{"sku":"SKU-999","qty":1}]}`
	p := problem(t, wantStatus(t, ask(t, newShop().handler(), post(body)), http.StatusBadRequest))
	if p.Code != "unknown_sku" || len(p.Errors) != 2 {
		t.Errorf("got %s with %v", p.Code, p.Errors)
	}
}

func TestABodyWithThousandsOfMistakesIsAnsweredBriefly(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	p := problem(t, wantStatus(t, ask(t, newShop().handler(), post(`{`+b.String()+`"y":1}`)), http.StatusBadRequest))
	if len(p.Errors) > 20 {
		t.Errorf("it names %d mistakes", len(p.Errors))
	}
}

func TestOnlyJSONIsRead(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin-1", "application/json; x"} {
		p := problem(t, wantStatus(t, ask(t, h, post(usual, "Content-Type", kind)), http.StatusUnsupportedMediaType))
		if p.Code != "unsupported_media_type" {
			t.Errorf("%q: %s", kind, p.Code)
		}
	}
	wantStatus(t, ask(t, h, post(usual, "Content-Encoding", "gzip")), http.StatusUnsupportedMediaType)
	wantStatus(t, ask(t, h, post(usual, "Content-Type", "Application/JSON; charset=UTF-8")), http.StatusAccepted)
}

func TestABodyMayHave64KiBAndNoByteMore(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	pad := func(n int) string { return usual + strings.Repeat(" ", n-len(usual)) }
	wantStatus(t, ask(t, h, post(pad(64<<10))), http.StatusAccepted)
	p := problem(t, wantStatus(t, ask(t, h, post(pad(64<<10+1))), http.StatusRequestEntityTooLarge))
	if p.Code != "body_too_large" {
		t.Errorf("got %s", p.Code)
	}
}

func TestADatabaseThatIsAwayIs503AndSaysNothingOfItself(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.fails = fmt.Errorf("place order: %w", errDown)
	r := wantStatus(t, ask(t, s.handler(), post(usual)), http.StatusServiceUnavailable)
	wantHeader(t, r, "Retry-After", "1")
	if strings.Contains(text(t, r), "10.0.0.7") {
		t.Errorf("the answer tells where it is: %s", text(t, r))
	}
	if p := problem(t, r); p.Code != "database_unavailable" {
		t.Errorf("got %s", p.Code)
	}
}

// Whoever looks or cancels is answered all the same.
func TestAboveWhatCanBeWorkedOffAnOrderIs503AndEverythingElseIsAnswered(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.limits.UnderWay = 1
	var log bytes.Buffer
	h := s.logged(slog.New(slog.NewTextHandler(&log, nil)))
	first := wantStatus(t, ask(t, h, post(usual)), http.StatusAccepted).Header.Get("Location")
	r := wantStatus(t, ask(t, h, post(usual)), http.StatusServiceUnavailable)
	wantHeader(t, r, "Retry-After", "1")
	if p := problem(t, r); p.Code != "overloaded" {
		t.Errorf("got %s", p.Code)
	}
	if s.sent != 1 {
		t.Errorf("%d messages were sent", s.sent)
	}
	wantStatus(t, ask(t, h, get(first)), http.StatusOK)
	wantStatus(t, ask(t, h, get("/api/v1/orders")), http.StatusOK)
	wantStatus(t, ask(t, h, asked{method: http.MethodPost, path: first + "/cancel"}), http.StatusAccepted)
	if log.Len() > 0 {
		t.Errorf("every refusal is a line in the log:\n%s", log.String())
	}
}

type patient struct{}

func (patient) Handle(context.Context, ordering.Request) (ordering.Answer, error) {
	return ordering.Answer{}, fmt.Errorf("place order: %w", &ordering.Overloaded{Wait: 7 * time.Second})
}

func TestTheWaitOfARefusalIsWhatTheDoorSays(t *testing.T) {
	t.Parallel()
	h := httpapi.NewOrders(httpapi.OrdersConfig{Service: httpapi.Service{Name: messages.OrderService}, Place: patient{}})
	wantHeader(t, wantStatus(t, ask(t, h, post(usual)), http.StatusServiceUnavailable), "Retry-After", "7")
}

func TestAMistakeOfOursIs500AndDoesNotLeak(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.fails = errors.New("pq: secret")
	r := wantStatus(t, ask(t, s.handler(), post(usual)), http.StatusInternalServerError)
	if strings.Contains(text(t, r), "secret") {
		t.Errorf("the answer is %s", text(t, r))
	}
	if p := problem(t, r); p.Code != "internal" {
		t.Errorf("got %s", p.Code)
	}
}

func TestALockNotGivenMeansInProgressOnlyForAKey(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.fails = fault.New(fault.Unavailable, "database_busy", "no lock")
	h := s.handler()
	if p := problem(t, wantStatus(t, ask(t, h, post(usual)), http.StatusServiceUnavailable)); p.Code != "database_busy" {
		t.Errorf("without a key: %s", p.Code)
	}
	r := wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", "k")), http.StatusConflict)
	wantHeader(t, r, "Retry-After", "1")
	if p := problem(t, r); p.Code != "idempotency_in_progress" {
		t.Errorf("with a key: %s", p.Code)
	}
	s.fails = fault.New(fault.Unavailable, "database_slow", "a statement took too long")
	if p := problem(t, wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", "k")), http.StatusServiceUnavailable)); p.Code != "database_slow" {
		t.Errorf("with a key, and a database that is slow: %s", p.Code)
	}
}
