package sqlstore

import (
	"context"
	"fmt"

	"millrace/adapters/sqldb"
	"millrace/domain/inventory"
)

var (
	productRow   = insert("products", "sku text, name text, price bigint, currency text", "ON CONFLICT (sku) DO NOTHING")
	stockSeedRow = insert("stock", "sku text, on_hand integer, reserved integer", "ON CONFLICT (sku) DO NOTHING")
)

// Seed stores stock where it is missing.
func (s *Inventory) Seed(ctx context.Context, levels []inventory.Level) error {
	rows := make([][]any, len(levels))
	for i, l := range levels {
		rows[i] = []any{l.SKU, l.OnHand, 0}
	}
	if err := s.core.seed(ctx, stockSeedRow, rows); err != nil {
		return fmt.Errorf("seed the stock: %w", err)
	}
	return nil
}

func (c *Core) seed(ctx context.Context, t *table, rows [][]any) error {
	err := c.DB.InBatchTx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Batch(ctx, t.statements(c.DB.Dialect, rows))
		return err
	})
	return sqldb.Classify(err)
}
