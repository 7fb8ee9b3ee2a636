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

// One gives an order with its timeline. It fails with order.ErrNotFound, and in the same words when the order is not
// the caller's: ids of others cannot be found out by trying.
func (h *ShowOrders) One(ctx context.Context, caller Caller, id order.ID) (*order.Order, error) {
	o, err := h.orders.Order(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !caller.owns(o.User()):
		return nil, order.ErrNotFound
	}
	return o, nil
}

// List gives a page of what the caller may see, newest first, and whether there are more. It fails with fault.Invalid
// for a limit outside 1 to MaxPage, and with ErrForbiddenUser for a filter that names somebody else.
func (h *ShowOrders) List(ctx context.Context, caller Caller, f Filter) ([]*order.Order, bool, error) {
	f, err := caller.within(f)
	if err != nil {
		return nil, false, err
	}
	if f.Limit == 0 {
		f.Limit = DefaultPage
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return nil, false, fault.Invalidf("invalid_limit", "limit", "limit must be 1 to %d", MaxPage)
	}
	return h.orders.List(ctx, f)
}
