package inventory

import (
	"context"
	"fmt"

	"millrace/app/messages"
)

// ReleaseInventory answers the saga's command to undo a reservation, made or still to come.
type ReleaseInventory struct{ work Work }

// NewReleaseInventory makes the use case.
func NewReleaseInventory(work Work) *ReleaseInventory { return &ReleaseInventory{work} }

// Handle frees what the order holds and bars a reservation that has not come yet. It always
// answers: nothing of the order is set aside, or ever will be.
func (h *ReleaseInventory) Handle(ctx context.Context, m *messages.ReleaseInventory) error {
	return h.work.Do(ctx, func(tx Tx) error {
		shelf, err := tx.Shelf(ctx, m.OrderID, nil)
		if err != nil {
			return fmt.Errorf("release inventory of %s: %w", m.OrderID, err)
		}
		freed := shelf.Release()
		tx.Keep(shelf)
		released := make([]messages.Quantity, len(freed))
		for i, line := range freed {
			released[i] = messages.Quantity{SKU: line.SKU, Qty: line.Qty}
		}
		return tx.Publish(&messages.InventoryReleased{OrderID: m.OrderID, Released: released})
	})
}
