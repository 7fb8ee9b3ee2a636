package payment

import (
	"context"
	"fmt"

	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// CapturePayment answers OrderCreated: it intends the charge. The worker does it.
type CapturePayment struct{ work Work }

// NewCapturePayment makes the use case.
func NewCapturePayment(work Work) *CapturePayment { return &CapturePayment{work} }

// Handle opens the order's payment. An order whose undo came first is not charged.
func (h *CapturePayment) Handle(ctx context.Context, m *messages.OrderCreated) error {
	currency, err := money.ParseCurrency(m.Currency)
	if err != nil {
		return err
	}
	opened, err := payment.Open(m.OrderID, money.Of(m.Total, currency), m.PaymentMethod, linesOf(m.Items))
	if err != nil {
		return err
	}
	return h.work.Do(ctx, func(tx Tx) error {
		known, err := tx.Payments(ctx, m.OrderID)
		if err != nil {
			return fmt.Errorf("capture payment of %s: %w", m.OrderID, err)
		}
		if known[m.OrderID] != nil {
			return nil
		}
		tx.Keep(opened)
		tx.Intend(intent.New(m.OrderID, intent.Capture))
		return nil
	})
}

func linesOf(items []messages.Item) []payment.Line {
	lines := make([]payment.Line, len(items))
	for i, item := range items {
		lines[i] = payment.Line{SKU: item.SKU, Qty: item.Qty}
	}
	return lines
}
