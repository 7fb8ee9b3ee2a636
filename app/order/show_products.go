package order

import "context"

// ShowProducts reads the catalog.
type ShowProducts struct{ catalog Catalog }

// NewShowProducts makes the use case.
func NewShowProducts(catalog Catalog) *ShowProducts { return &ShowProducts{catalog} }

// All gives every product, in SKU order.
func (h *ShowProducts) All(ctx context.Context) ([]Product, error) { return h.catalog.All(ctx) }

// One gives a product; it fails with ErrNoProduct.
func (h *ShowProducts) One(ctx context.Context, sku string) (Product, error) {
	found, err := h.catalog.Products(ctx, []string{sku})
	if err != nil {
		return Product{}, err
	}
	p, ok := found[sku]
	if !ok {
		return Product{}, ErrNoProduct
	}
	return p, nil
}
