package analytics

import (
	"context"
	"fmt"

	"millrace/app/messages"
)

// RecordEnd answers OrderCompleted: the read models learn how an order ended.
type RecordEnd struct{ work Work }

// NewRecordEnd makes the use case.
func NewRecordEnd(work Work) *RecordEnd { return &RecordEnd{work} }

// Handle records the end in the read models that do not have it. One that was rebuilt from the journal may
// have it before its message comes. It fails with ErrNoOrder.
func (h *RecordEnd) Handle(ctx context.Context, m *messages.OrderCompleted) error {
	return h.work.Do(ctx, func(tx Tx) error {
		known, err := tx.Known(ctx, m.OrderID)
		if err != nil {
			return fmt.Errorf("record the end of %s: %w", m.OrderID, err)
		}
		end := EndOf(m, known.PlacedAt)
		if !known.Listed {
			tx.List(end)
		}
		if !known.Counted {
			tx.Count(end)
		}
		return nil
	})
}
