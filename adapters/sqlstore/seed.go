package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	"millrace/domain/inventory"
)

var (
	productRow   = insert("products", "sku, name, price, currency", "ON CONFLICT (sku) DO NOTHING")
	stockSeedRow = insert("stock", "sku, on_hand, reserved", "ON CONFLICT (sku) DO NOTHING", "?", "?", "0")
)

// Seed stores stock where it is missing.
func (s *Inventory) Seed(ctx context.Context, levels []inventory.Level) error {
	rows := make([][]any, len(levels))
	for i, l := range levels {
		rows[i] = []any{l.SKU, l.OnHand}
	}
	if err := s.core.seed(ctx, stockSeedRow, rows); err != nil {
		return fmt.Errorf("seed the stock: %w", err)
	}
	return nil
}

func (c *Core) seed(ctx context.Context, t *table, rows [][]any) error {
	err := c.DB.InBatchTx(ctx, func(tx *sqldb.Tx) error {
		_, err := t.write(&unit{core: c, ctx: ctx, tx: tx, now: c.Now().UTC().Truncate(time.Microsecond)}, rows)
		return err
	})
	return sqldb.Classify(err)
}
