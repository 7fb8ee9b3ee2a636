package order

import (
	"context"
	"fmt"
	"time"

	"millrace/app/messages"
	"millrace/domain/order"
)

// CancelOrder passes the customer's wish on to the saga. It is a request: the order may still
// end confirmed when that was decided before.
type CancelOrder struct {
	work Work
	now  func() time.Time
}

// NewCancelOrder makes the use case.
func NewCancelOrder(work Work, now func() time.Time) *CancelOrder { return &CancelOrder{work, now} }

// Handle asks once, however often it is called, and gives the order's status of that moment. It
// fails with order.ErrNotFound, for an order that is not the caller's too, or order.ErrSettled.
func (h *CancelOrder) Handle(ctx context.Context, caller Caller, id order.ID) (order.Status, error) {
	var status order.Status
	at := h.now().UTC().Truncate(time.Microsecond)
	err := h.work.Do(ctx, func(tx Tx) error {
		found, err := tx.Orders(ctx, id)
		if err != nil {
			return fmt.Errorf("cancel %s: %w", id, err)
		}
		o := found[id]
		if o == nil || !caller.owns(o.User()) {
			return order.ErrNotFound
		}
		status = o.Status()
		isNew, err := o.RequestCancel(at)
		if err != nil || !isNew {
			return err
		}
		tx.KeepCancel(o)
		return tx.Publish(&messages.OrderCancelRequested{
			OrderID: string(id), UserID: string(o.User()), Reason: messages.ReasonCancelledByUser,
		})
	})
	return status, err
}
