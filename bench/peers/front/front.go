// Package front is the HTTP side of a peer: as much of Millrace's API as `millrace bench` needs, so
// that one and the same load generator measures all.
//
// What has become of an order is answered from memory, which spares a peer the reads that Millrace
// does for its callers.
package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace/bench/peers/life"
)

// Front answers for one peer. Make one by New.
type Front struct {
	accept func(context.Context, life.Order) error
	prefix string

	mu     sync.Mutex
	orders []*order // the oldest first, which is the order of their ids
	byID   map[string]*order

	handled atomic.Int64 // OrderCompleted, by the last consumer
}

type order struct {
	id      string
	created time.Time
	ended   time.Time // zero while it is under way
}

// New makes a front. accept stores the order and its first message in one transaction.
func New(accept func(context.Context, life.Order) error) *Front {
	return &Front{accept: accept, byID: map[string]*order{}, prefix: "ord_" + strconv.FormatInt(time.Now().UnixMilli(), 36)}
}

// Ended notes that the saga has confirmed an order, in a transaction that is committed.
func (f *Front) Ended(id string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.byID[id]; o != nil && o.ended.IsZero() {
		o.ended = at
	}
}

// Handled notes that the last consumer was done with an order.
func (f *Front) Handled() { f.handled.Add(1) }

// Serve answers on 127.0.0.1:port until ctx ends.
func (f *Front) Serve(ctx context.Context, port int) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/orders", f.place)
	mux.HandleFunc("GET /api/v1/orders", f.list)
	mux.HandleFunc("GET /api/v1/orders/{id}", f.show)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "messages_handled_total{handler=\"notify_customer\",outcome=\"done\"} %d\n", f.handled.Load())
	})
	server := &http.Server{Addr: "127.0.0.1:" + strconv.Itoa(port), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

func (f *Front) place(w http.ResponseWriter, r *http.Request) {
	var body struct {
		UserID string `json:"userId"`
		Items  []struct {
			SKU string `json:"sku"`
			Qty int    `json:"qty"`
		} `json:"items"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Items) != 1 {
		http.Error(w, `{"code":"invalid_order"}`, http.StatusBadRequest)
		return
	}
	o := f.begin()
	err := f.accept(r.Context(), life.Order{ID: o.id, User: body.UserID, SKU: body.Items[0].SKU, Qty: body.Items[0].Qty, Price: 100})
	if err != nil {
		http.Error(w, `{"code":"not_stored","detail":`+strconv.Quote(err.Error())+`}`, http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"orderId":%q,"status":"PENDING"}`, o.id)
}

func (f *Front) begin() *order {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &order{id: fmt.Sprintf("%s_%09d", f.prefix, len(f.orders)), created: time.Now()}
	f.orders = append(f.orders, o)
	f.byID[o.id] = o
	return o
}

// list gives orders, the newest first, as many as are asked for, older than the cursor.
func (f *Front) list(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 {
		limit = 50
	}
	var b strings.Builder
	b.WriteString(`{"items":[`)
	f.mu.Lock()
	from := len(f.orders)
	if cursor, err := strconv.Atoi(r.URL.Query().Get("cursor")); err == nil {
		from = min(from, max(cursor, 0))
	}
	to := max(0, from-limit)
	for i := from - 1; i >= to; i-- {
		if i < from-1 {
			b.WriteByte(',')
		}
		f.orders[i].write(&b)
	}
	f.mu.Unlock()
	b.WriteString(`],"nextCursor":`)
	if to > 0 {
		fmt.Fprintf(&b, `"%d"}`, to)
	} else {
		b.WriteString(`null}`)
	}
	_, _ = w.Write([]byte(b.String()))
}

func (f *Front) show(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	f.mu.Lock()
	if o := f.byID[r.PathValue("id")]; o != nil {
		o.write(&b)
	}
	f.mu.Unlock()
	if b.Len() == 0 {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(b.String()))
}

func (o *order) write(b *strings.Builder) {
	status, updated := "PROCESSING", o.created
	if !o.ended.IsZero() {
		status, updated = "CONFIRMED", o.ended
	}
	fmt.Fprintf(b, `{"orderId":%q,"status":%q,"createdAt":%q,"updatedAt":%q}`,
		o.id, status, o.created.UTC().Format(time.RFC3339Nano), updated.UTC().Format(time.RFC3339Nano))
}
