package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// order is an order as the API shows it.
type order struct {
	OrderID  string `json:"orderId"`
	UserID   string `json:"userId"`
	Status   string `json:"status"`
	Items    []item `json:"items"`
	Currency string `json:"currency"`
	Total    int64  `json:"total"`
	Reason   string `json:"reason"`
	Version  int    `json:"version"`

	AllowedActions []string `json:"allowedActions"`
	Timeline       []entry  `json:"timeline"`
}

type item struct {
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
	Price int64  `json:"price,omitempty"`
}

type entry struct {
	Seq     int    `json:"seq"`
	Event   string `json:"event"`
	Status  string `json:"status"`
	EventID string `json:"eventId"`
}

func (o order) ended() bool {
	return slices.Contains([]string{"CONFIRMED", "FAILED", "CANCELLED"}, o.Status)
}

// events lists the timeline in short.
func (o order) events() string {
	var names []string
	for _, e := range o.Timeline {
		names = append(names, e.Event)
	}
	return strings.Join(names, " ")
}

// wish is an order as a caller asks for it. Empty fields take what is common.
type wish struct {
	user, sku, method string
	qty               int
}

func (w wish) body() string {
	if w.user == "" {
		w.user = "usr_001"
	}
	if w.sku == "" {
		w.sku = "SKU-123"
	}
	if w.method == "" {
		w.method = "pm_card_ok"
	}
	return fmt.Sprintf(`{"userId":%q,"items":[{"sku":%q,"qty":%d}],"currency":"LKR","paymentMethod":%q}`, w.user, w.sku, max(1, w.qty), w.method)
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// code is that of the problem in the answer.
func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p) // an answer without one has none
	return p.Code
}

// ask sends a request to the gateway. Its error says that no answer came.
func (s *stack) ask(method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, s.url(gatewayPort, path), bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, got}, err
}

// try places an order and gives its id, "" when it was not accepted.
func (s *stack) try(w wish, headers ...string) (string, answer, error) {
	a, err := s.ask(http.MethodPost, "/api/v1/orders", w.body(), headers...)
	if err != nil || a.status != http.StatusAccepted {
		return "", a, err
	}
	var accepted struct{ OrderID string }
	err = json.Unmarshal(a.body, &accepted)
	return accepted.OrderID, a, err
}

// place places an order that must be accepted.
func (s *stack) place(t *testing.T, w wish, headers ...string) string {
	t.Helper()
	id, a, err := s.try(w, headers...)
	if err != nil || id == "" {
		t.Fatalf("place %s: %v, %v", w.body(), a, err)
	}
	return id
}

// cancel asks for the cancellation of an order.
func (s *stack) cancel(t *testing.T, id string) answer {
	t.Helper()
	a, err := s.ask(http.MethodPost, "/api/v1/orders/"+id+"/cancel", "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// show reads an order that must be there.
func (s *stack) show(t *testing.T, id string) order {
	t.Helper()
	var o order
	s.get(t, gatewayPort, "/api/v1/orders/"+id, &o)
	return o
}

// get reads JSON.
func (s *stack) get(t *testing.T, port int, path string, into any) {
	t.Helper()
	res, err := s.http.Get(s.url(port, path))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v: %s", path, res.Status, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, body)
	}
}

// awaitOrder waits until an order is as wanted.
func (s *stack) awaitOrder(t *testing.T, id string, limit time.Duration, what string, holds func(order) bool) order {
	t.Helper()
	var o order
	t.Cleanup(func() {
		if t.Failed() && !holds(o) {
			t.Logf("%s was last seen as %s: %s", id, o.Status, o.events())
		}
	})
	await(t, limit, id+" "+what, func() bool {
		o = s.show(t, id)
		return holds(o)
	})
	return o
}

// awaitEnd waits until an order has ended.
func (s *stack) awaitEnd(t *testing.T, id string, limit time.Duration) order {
	t.Helper()
	return s.awaitOrder(t, id, limit, "ends", order.ended)
}

// orders lists every order there is, of one user or of all.
func (s *stack) orders(t *testing.T, user string) []order {
	t.Helper()
	var all []order
	for cursor := ""; ; {
		var page struct {
			Items      []order
			NextCursor *string
		}
		path := "/api/v1/orders?limit=100"
		if user != "" {
			path += "&userId=" + user
		}
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		s.get(t, gatewayPort, path, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = *page.NextCursor
	}
}
