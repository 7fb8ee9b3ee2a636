// Package order is an order as its customer sees it: what was bought, where it is, and what has
// happened to it. How it gets from one status to the next is the saga's business, in sagas/order.
// It knows no clock and no I/O.
package order

import (
	"fmt"
	"time"

	"millrace/domain/fault"
	"millrace/domain/money"
)

// Limits of an order.
const (
	MaxItems = 100
	MaxQty   = 1000
)

// ErrSettled: nothing can be done to an order that has ended.
var ErrSettled = fault.New(fault.Conflict, "order_settled", "the order is already settled")

// ErrNotFound: there is no order with that id.
var ErrNotFound = fault.New(fault.NotFound, "order_not_found", "there is no order with that id")

// Item is one line of an order. Price is that of one piece, in minor units.
type Item struct {
	SKU   SKU   `json:"sku"`
	Qty   int   `json:"qty"`
	Price int64 `json:"price"`
}

// Entry is one line of an order's timeline.
type Entry struct {
	Seq     int
	At      time.Time
	Event   string
	Status  Status
	EventID string
}

// Order is one order.
type Order struct {
	id              ID
	user            UserID
	items           []Item
	total           money.Amount
	paymentMethod   string
	status          Status
	reason          string
	undoing         bool
	cancelRequested bool
	createdAt       time.Time
	updatedAt       time.Time
	version         int
	timeline        []Entry
}

// Snapshot is an order as it is stored.
type Snapshot struct {
	ID              ID
	UserID          UserID
	Items           []Item
	Total           money.Amount
	PaymentMethod   string
	Status          Status
	Reason          string
	Undoing         bool // the saga is taking back what was done
	CancelRequested bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Version         int
	Timeline        []Entry
}

// Place makes a new pending order. It fails with fault.Invalid when there are no items or more
// than MaxItems, a SKU stands there twice, a quantity is not 1 to MaxQty, or the total overflows
// or is zero. Each fault points at the part of the request that is wrong.
func Place(id ID, user UserID, items []Item, currency money.Currency, paymentMethod string, at time.Time) (*Order, error) {
	if len(items) == 0 || len(items) > MaxItems {
		return nil, fault.Invalidf("invalid_items", "/items", "an order has 1 to %d items", MaxItems)
	}
	seen := make(map[SKU]bool, len(items))
	total := money.Of(0, currency)
	for i, item := range items {
		if seen[item.SKU] {
			return nil, fault.Invalidf("duplicate_sku", fmt.Sprintf("/items/%d/sku", i), "%s stands there twice: give each SKU once, with its whole quantity", item.SKU)
		}
		seen[item.SKU] = true
		if item.Qty < 1 || item.Qty > MaxQty {
			return nil, fault.Invalidf("invalid_qty", fmt.Sprintf("/items/%d/qty", i), "qty must be 1 to %d", MaxQty)
		}
		line, err := money.Of(item.Price, currency).Times(item.Qty)
		if err != nil {
			return nil, err
		}
		if total, err = total.Plus(line); err != nil {
			return nil, err
		}
	}
	if total.Minor <= 0 {
		return nil, fault.Invalidf("invalid_total", "/items", "the order's total must be above zero")
	}
	return &Order{
		id: id, user: user, items: items, total: total, paymentMethod: paymentMethod,
		status: Pending, createdAt: at, updatedAt: at, version: 1,
	}, nil
}

// Restore brings a stored order back. Only adapters call it.
func Restore(s Snapshot) *Order {
	return &Order{
		id: s.ID, user: s.UserID, items: s.Items, total: s.Total, paymentMethod: s.PaymentMethod,
		status: s.Status, reason: s.Reason, undoing: s.Undoing, cancelRequested: s.CancelRequested,
		createdAt: s.CreatedAt, updatedAt: s.UpdatedAt, version: s.Version, timeline: s.Timeline,
	}
}

// Snapshot gives what an adapter stores and what a reader shows.
func (o *Order) Snapshot() Snapshot {
	return Snapshot{
		ID: o.id, UserID: o.user, Items: o.items, Total: o.total, PaymentMethod: o.paymentMethod,
		Status: o.status, Reason: o.reason, Undoing: o.undoing, CancelRequested: o.cancelRequested,
		CreatedAt: o.createdAt, UpdatedAt: o.updatedAt, Version: o.version, Timeline: o.timeline,
	}
}

// ID names the order.
func (o *Order) ID() ID { return o.id }

// User names its customer.
func (o *Order) User() UserID { return o.user }

// Status gives where it is.
func (o *Order) Status() Status { return o.status }

// RequestCancel notes the customer's wish. New is false when it was noted before. It fails with
// ErrSettled once the order has ended.
func (o *Order) RequestCancel(at time.Time) (isNew bool, err error) {
	if o.status.Terminal() {
		return false, ErrSettled
	}
	if o.cancelRequested {
		return false, nil
	}
	o.cancelRequested, o.updatedAt = true, at
	o.version++
	return true, nil
}

// AllowedActions lists what the customer may still do: "cancel", or nothing.
func (o *Order) AllowedActions() []string {
	if o.status.Terminal() || o.undoing {
		return []string{}
	}
	return []string{"cancel"}
}
