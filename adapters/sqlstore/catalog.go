package sqlstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/order"
)

// catalogAge is how old a price may be when an order is placed.
const catalogAge = 2 * time.Second

// Catalog reads products. It keeps them for a moment, since every order asks for some.
type Catalog struct {
	core *Core

	mu     sync.Mutex
	known  map[string]app.Product
	sorted []app.Product
	loaded time.Time
}

// NewCatalog makes the reader.
func NewCatalog(core *Core) *Catalog { return &Catalog{core: core} }

// Products gives those of the SKUs that exist.
func (c *Catalog) Products(ctx context.Context, skus []string) (map[string]app.Product, error) {
	known, _, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]app.Product, len(skus))
	for _, sku := range skus {
		if p, ok := known[sku]; ok {
			found[sku] = p
		}
	}
	return found, nil
}

// All gives every product, in SKU order.
func (c *Catalog) All(ctx context.Context) ([]app.Product, error) {
	_, sorted, err := c.load(ctx)
	return sorted, err
}

func (c *Catalog) load(ctx context.Context) (map[string]app.Product, []app.Product, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.core.Now(); c.known == nil || now.Sub(c.loaded) > catalogAge {
		var rows []struct {
			SKU      string `db:"sku"`
			Name     string `db:"name"`
			Price    int64  `db:"price"`
			Currency string `db:"currency"`
		}
		if err := c.core.DB.Read.SelectContext(ctx, &rows, "SELECT sku, name, price, currency FROM products ORDER BY sku"); err != nil {
			return nil, nil, fmt.Errorf("read the catalog: %w", sqldb.Classify(err))
		}
		known, sorted := make(map[string]app.Product, len(rows)), make([]app.Product, len(rows))
		for i, r := range rows {
			sorted[i] = app.Product{SKU: r.SKU, Name: r.Name, Price: r.Price, Currency: r.Currency}
			known[r.SKU] = sorted[i]
		}
		c.known, c.sorted, c.loaded = known, sorted, now
	}
	return c.known, c.sorted, nil
}
