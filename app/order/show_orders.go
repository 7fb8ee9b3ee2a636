package order

import (
	"context"

	"millrace/domain/fault"
	"millrace/domain/order"
)

// MaxPage is the largest page of a list, DefaultPage the usual one.
const (
	MaxPage     = 200
	DefaultPage = 50
)

// ShowOrders reads orders.
type ShowOrders struct{ orders Orders }

// NewShowOrders makes the use case.
func NewShowOrders(orders Orders) *ShowOrders { return &ShowOrders{orders} }

// One gives an order with its timeline; it fails with order.ErrNotFound.
func (h *ShowOrders) One(ctx context.Context, id order.ID) (*order.Order, error) {
	return h.orders.Order(ctx, id)
}

// List gives a page, newest first, and whether there are more. It fails with fault.Invalid for a
// limit outside 1 to MaxPage.
func (h *ShowOrders) List(ctx context.Context, f Filter) ([]*order.Order, bool, error) {
	if f.Limit == 0 {
		f.Limit = DefaultPage
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return nil, false, fault.Invalidf("invalid_limit", "limit", "limit must be 1 to %d", MaxPage)
	}
	return h.orders.List(ctx, f)
}
