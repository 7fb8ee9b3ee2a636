package cli_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeAPI answers as the gateway does. An order ends some time after it was accepted; its payment
// method says how.
type fakeAPI struct {
	accepting time.Duration // how long a POST takes
	ending    time.Duration // from there to the order's end
	handling  time.Duration // from there until OrderCompleted was handled; below zero for never
	anew      time.Duration // from the first order until the notification service is started anew; 0 for never
	places    int           // orders under way at most; 0 for any number
	token     string        // that it asks for; "" for none

	mu       sync.Mutex
	orders   []*fakeOrder // in the order of their ids
	mostOpen int
	lists    int
}

type fakeOrder struct {
	id, user, sku, method string
	placed, ends          time.Time
	cancelled             bool
}

// RoundTrip lets a client reach it without a network, so that time can be the test's own.
func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result(), nil
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isOne := strings.CutPrefix(r.URL.Path, "/api/v1/orders/")
	id, cancel := strings.CutSuffix(id, "/cancel")
	switch {
	case f.token != "" && strings.HasPrefix(r.URL.Path, "/api/v1/orders") && r.Header.Get("Authorization") != "Bearer "+f.token:
		refuse(w, http.StatusUnauthorized, "unauthenticated", "no token came with the request", "")
	case r.URL.Path == "/readyz":
	case r.URL.Path == "/metrics":
		f.metrics(w)
	case r.URL.Path == "/api/v1/orders" && r.Method == http.MethodPost:
		f.place(w, r)
	case r.URL.Path == "/api/v1/orders":
		f.list(w, r)
	case isOne:
		f.one(w, id, cancel)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeAPI) place(w http.ResponseWriter, r *http.Request) {
	var body struct {
		UserID string `json:"userId"`
		Items  []struct {
			SKU string `json:"sku"`
		} `json:"items"`
		PaymentMethod string `json:"paymentMethod"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		panic(err)
	}
	if body.Items[0].SKU == "SKU-UNKNOWN" {
		refuse(w, http.StatusBadRequest, "unknown_sku", `"SKU-UNKNOWN" is not in the catalog`, "/items/0/sku")
		return
	}
	if body.PaymentMethod == "pm_refused" {
		refuse(w, http.StatusServiceUnavailable, "database_unavailable", "the database is not reachable", "")
		return
	}
	if f.accepting > 0 {
		time.Sleep(f.accepting) // the test's own time
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	o := &fakeOrder{
		id: fmt.Sprintf("ord_%06d", len(f.orders)+1), user: body.UserID, sku: body.Items[0].SKU,
		method: body.PaymentMethod, placed: now, ends: now.Add(f.ending),
	}
	if body.PaymentMethod == "pm_never" {
		o.ends = now.Add(1000 * time.Hour)
	}
	f.orders = append(f.orders, o)
	open := 0
	for _, other := range f.orders {
		if now.Before(other.ends) {
			open++
		}
	}
	if f.places > 0 && open > f.places {
		f.orders = f.orders[:len(f.orders)-1]
		refuse(w, http.StatusServiceUnavailable, "overloaded", "more orders come in than can be worked off", "")
		return
	}
	f.mostOpen = max(f.mostOpen, open)
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"orderId":%q,"status":"PENDING"}`, o.id)
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit > 200 {
		refuse(w, http.StatusBadRequest, "invalid_limit", "limit must be 1 to 200", "limit")
		return
	}
	before := cmp.Or(r.URL.Query().Get("cursor"), "z")
	items := []any{}
	var next *string
	for i := len(f.orders) - 1; i >= 0; i-- {
		if f.orders[i].id >= before {
			continue
		}
		if len(items) == limit {
			next = &f.orders[i+1].id
			break
		}
		items = append(items, f.orders[i].shown())
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "nextCursor": next})
}

// metrics are those of the notification service: 1,000 orders had ended before, and the first message
// of every ten is delivered twice.
func (f *fakeAPI) metrics(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, twice := 1000, 0
	var since time.Time
	if f.anew > 0 && len(f.orders) > 0 && time.Since(f.orders[0].placed) > f.anew {
		done, since = 0, f.orders[0].placed.Add(f.anew)
	}
	for i, o := range f.orders {
		if f.handling < 0 || time.Now().Before(o.ends.Add(f.handling)) || o.ends.Before(since) {
			continue
		}
		done++
		if i%10 == 0 {
			done++
			twice++
		}
	}
	fmt.Fprintf(w, "# TYPE messages_handled_total counter\n"+
		"messages_handled_total{handler=\"other\",outcome=\"done\"} 9\n"+
		"messages_handled_total{handler=\"notify_customer\",outcome=\"failed\"} 7\n"+
		"messages_handled_total{handler=\"notify_customer\",outcome=\"done\"} %d\n"+
		"messages_duplicate_total{handler=\"notify_customer\"} %d\n", done, twice)
}

func (f *fakeAPI) one(w http.ResponseWriter, id string, cancel bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.orders {
		if o.id != id {
			continue
		}
		if cancel && o.ended() {
			refuse(w, http.StatusConflict, "order_settled", "the order is already settled", "")
			return
		}
		if cancel {
			o.cancelled, o.ends = true, time.Now()
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, `{"orderId":%q,"status":"PROCESSING"}`, id)
			return
		}
		_ = json.NewEncoder(w).Encode(o.shown())
		return
	}
	refuse(w, http.StatusNotFound, "order_not_found", "there is no order with that id", "")
}

func (o *fakeOrder) ended() bool { return !time.Now().Before(o.ends) }

func (o *fakeOrder) shown() map[string]any {
	timeline := []map[string]any{{"seq": 1, "at": o.placed, "event": "OrderCreated", "status": "PENDING", "eventId": "e1"}}
	status, reason, updated := "PROCESSING", any(nil), o.placed
	if o.ended() {
		updated, status = o.ends, "CONFIRMED"
		switch {
		case o.cancelled:
			status, reason = "CANCELLED", "cancelled_by_user"
		case o.method == "pm_card_declined":
			status, reason = "FAILED", "payment_declined"
		}
		timeline = append(timeline, map[string]any{"seq": 2, "at": o.ends, "event": "OrderCompleted", "status": status, "eventId": "e2"})
	}
	return map[string]any{
		"orderId": o.id, "userId": o.user, "status": status, "items": []any{map[string]any{"sku": o.sku, "qty": 1, "price": 100}},
		"currency": "LKR", "total": 100, "reason": reason, "createdAt": o.placed, "updatedAt": updated, "version": 1, "timeline": timeline,
	}
}

func refuse(w http.ResponseWriter, status int, code, detail, pointer string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	problem := map[string]any{"code": code, "detail": detail, "status": status}
	if pointer != "" {
		problem["errors"] = []any{map[string]string{"pointer": pointer, "detail": detail}}
	}
	_ = json.NewEncoder(w).Encode(problem)
}
