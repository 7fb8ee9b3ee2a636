package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/ports/httpapi/contract"
)

// PlaceOrder is the use case of that name.
type PlaceOrder interface {
	Handle(ctx context.Context, r ordering.Request) (ordering.Answer, error)
}

// CancelOrder is the use case of that name.
type CancelOrder interface {
	Handle(ctx context.Context, caller ordering.Caller, id order.ID) (order.Status, error)
}

// ShowOrders is the use case of that name.
type ShowOrders interface {
	One(ctx context.Context, caller ordering.Caller, id order.ID) (*order.Order, error)
	List(ctx context.Context, caller ordering.Caller, f ordering.Filter) (page []*order.Order, more bool, err error)
}

// ShowProducts is the use case of that name.
type ShowProducts interface {
	All(ctx context.Context) ([]ordering.Product, error)
	One(ctx context.Context, sku string) (ordering.Product, error)
}

// OrdersConfig is what the order service's HTTP side needs. The use cases must be given.
type OrdersConfig struct {
	Service
	Place    PlaceOrder
	Cancel   CancelOrder
	Show     ShowOrders
	Follow   FollowOrder
	Products ShowProducts
	// Verifier says whose order it is; nil asks nobody, and every order is everybody's.
	Verifier Verifier
}

// NewOrders makes the HTTP side of the order service.
func NewOrders(cfg OrdersConfig) http.Handler {
	cfg.Service = cfg.withDefaults()
	e := newEngine(cfg.Service)
	documents(e)
	w := problems{log: cfg.Logger}
	guarded := e.Group("", authenticated(cfg.Verifier, w)) // for all that is somebody's
	contract.RegisterOrders(guarded.Group("", limited), orders{cfg, w})
	contract.RegisterProducts(e.Group("", limited), products{cfg.Products, w})
	contract.RegisterEvents(guarded, events{cfg, w})
	return e
}

type orders struct {
	OrdersConfig
	problems
}

// PlaceOrder answers POST /api/v1/orders.
func (s orders) PlaceOrder(c *gin.Context) {
	req, err := readPlacing(c.Request)
	if err != nil {
		s.write(c, err)
		return
	}
	if err := s.caller(c).ActsFor(req.UserID); err != nil {
		s.write(c, err)
		return
	}
	answer, err := s.Place.Handle(c.Request.Context(), req)
	if err != nil {
		s.write(c, inProgress(err, req.Key))
		return
	}
	c.Header("Location", orderPath(answer.OrderID))
	c.Header("Cache-Control", "no-store")
	if answer.Replayed {
		c.Header("Idempotency-Replayed", "true")
	}
	c.Data(http.StatusAccepted, jsonType, answer.Body)
}

// readPlacing reads key and body. Mistakes in both are given together.
func readPlacing(r *http.Request) (ordering.Request, error) {
	if err := takesJSON(r.Header); err != nil {
		return ordering.Request{}, err
	}
	body, err := readBody(r)
	if err != nil {
		return ordering.Request{}, err
	}
	key, keyErr := idempotencyKey(r.Header)
	asked, mistakes := readOrder(body)
	if err := errors.Join(append(mistakes, keyErr)...); err != nil {
		return ordering.Request{}, err
	}
	req := wanted(asked)
	if key != "" {
		req.Key, req.Hash = key, hashOf(body)
	}
	return req, nil
}

// inProgress tells a key whose first request, in another process, holds its lock from a database that is busy
// otherwise: with a key, the lock is what was waited for.
func inProgress(err error, key string) error {
	if key != "" && fault.CodeOf(err) == "database_busy" {
		return ordering.ErrInProgress.Because(err)
	}
	return err
}

// CancelOrder answers POST /api/v1/orders/{orderId}/cancel.
func (s orders) CancelOrder(c *gin.Context, orderID string) {
	id, err := parseID(orderID)
	if err != nil {
		s.write(c, err)
		return
	}
	status, err := s.Cancel.Handle(c.Request.Context(), s.caller(c), id)
	if err != nil {
		s.write(c, err)
		return
	}
	c.Header("Location", orderPath(orderID))
	c.Header("Cache-Control", "no-store")
	sendJSON(c, http.StatusAccepted, contract.OrderAccepted{OrderId: orderID, Status: contract.OrderStatus(status.String())})
}

// GetOrder answers GET /api/v1/orders/{orderId}.
func (s orders) GetOrder(c *gin.Context, orderID string) {
	id, err := parseID(orderID)
	if err != nil {
		s.write(c, err)
		return
	}
	o, err := s.Show.One(c.Request.Context(), s.caller(c), id)
	if err != nil {
		s.write(c, err)
		return
	}
	tag := etag(o)
	c.Header("ETag", tag)
	c.Header("Cache-Control", "private, no-cache")
	if matches(c.Request.Header.Values("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		return
	}
	sendJSON(c, http.StatusOK, orderJSON(o))
}

// ListOrders answers GET /api/v1/orders.
func (s orders) ListOrders(c *gin.Context) {
	filter, err := readFilter(c.Request.URL.RawQuery)
	if err != nil {
		s.write(c, err)
		return
	}
	page, more, err := s.Show.List(c.Request.Context(), s.caller(c), filter)
	if err != nil {
		s.write(c, err)
		return
	}
	c.Header("Cache-Control", "private, no-cache")
	sendJSON(c, http.StatusOK, pageJSON(page, more))
}

func orderPath(id string) string { return "/api/v1/orders/" + id }

// parseID names the parameter in what it refuses.
func parseID(s string) (order.ID, error) {
	id, err := order.ParseID(s)
	var f *fault.Fault
	if errors.As(err, &f) {
		named := *f
		named.Pointer = "orderId"
		return "", &named
	}
	return id, err
}
