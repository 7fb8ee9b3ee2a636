package payment

import (
	"context"
	"fmt"

	"millrace/app/messages"
	"millrace/domain/payment"
)

// RefundPayment answers the saga's command to undo a payment, whatever has become of it.
type RefundPayment struct{ work Work }

// NewRefundPayment makes the use case.
func NewRefundPayment(work Work) *RefundPayment { return &RefundPayment{work} }

// Handle undoes what there is to undo. When the order was never seen it leaves a tombstone, so
// that an OrderCreated that comes later is not charged. PaymentRefunded is said only when the
// capture's fate is known: now, or later by the worker.
func (h *RefundPayment) Handle(ctx context.Context, m *messages.RefundPayment) error {
	return h.work.Do(ctx, func(tx Tx) error {
		known, err := tx.Payments(ctx, m.OrderID)
		if err != nil {
			return fmt.Errorf("refund payment of %s: %w", m.OrderID, err)
		}
		p := known[m.OrderID]
		if p == nil {
			p = payment.Bar(m.OrderID)
		}
		next := p.Undo()
		tx.Keep(p)
		return carryOut(tx, p, next, "")
	})
}
