package inventory

import (
	"context"
	"fmt"

	"millrace/app/messages"
	"millrace/domain/inventory"
)

// ReserveStock answers PaymentSucceeded: it sets the order's items aside, all or none.
type ReserveStock struct{ work Work }

// NewReserveStock makes the use case.
func NewReserveStock(work Work) *ReserveStock { return &ReserveStock{work} }

// Handle reserves, and says so, or says why not. An order that was released before is refused.
func (h *ReserveStock) Handle(ctx context.Context, m *messages.PaymentSucceeded) error {
	lines := make([]inventory.Line, len(m.Items))
	skus := make([]string, len(m.Items))
	for i, item := range m.Items {
		lines[i] = inventory.Line{SKU: item.SKU, Qty: item.Qty}
		skus[i] = item.SKU
	}
	return h.work.Do(ctx, func(tx Tx) error {
		shelf, err := tx.Shelf(ctx, m.OrderID, skus)
		if err != nil {
			return fmt.Errorf("reserve stock for %s: %w", m.OrderID, err)
		}
		verdict, short := shelf.Reserve(lines)
		tx.Keep(shelf)
		switch verdict {
		case inventory.Reserved:
			return tx.Publish(&messages.InventoryReserved{OrderID: m.OrderID, Reservations: m.Items, Warehouse: Warehouse})
		case inventory.OutOfStock:
			return tx.Publish(&messages.InventoryFailed{OrderID: m.OrderID, Reason: messages.ReasonOutOfStock, Missing: shortages(short)})
		case inventory.TooLate:
			return tx.Publish(&messages.InventoryFailed{OrderID: m.OrderID, Reason: messages.ReasonBarred, Missing: []messages.Shortage{}})
		default:
			return nil
		}
	})
}

func shortages(short []inventory.Shortage) []messages.Shortage {
	missing := make([]messages.Shortage, len(short))
	for i, s := range short {
		missing[i] = messages.Shortage{SKU: s.SKU, Wanted: s.Wanted, Available: s.Available}
	}
	return missing
}
