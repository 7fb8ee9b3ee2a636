package httpapi

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"millrace/domain/inventory"
	"millrace/ports/httpapi/contract"
)

// Stock reads the stock.
type Stock interface {
	// Levels gives every SKU's stock, in SKU order.
	Levels(ctx context.Context) ([]inventory.Level, error)
	// Level fails with fault.NotFound for an unknown SKU.
	Level(ctx context.Context, sku string) (inventory.Level, error)
}

// InventoryConfig is what the inventory service's HTTP side needs. Stock must be given.
type InventoryConfig struct {
	Service
	Stock Stock
}

// NewInventory makes the HTTP side of the inventory service.
func NewInventory(cfg InventoryConfig) http.Handler {
	cfg.Service = cfg.withDefaults()
	e := newEngine(cfg.Service)
	documents(e)
	contract.RegisterStock(e.Group("", limited), stock{cfg.Stock, problems{log: cfg.Logger}})
	return e
}

type stock struct {
	levels Stock
	problems
}

// ListStock answers GET /api/v1/stock.
func (s stock) ListStock(c *gin.Context) {
	all, err := s.levels.Levels(c.Request.Context())
	if err != nil {
		s.write(c, err)
		return
	}
	list := contract.StockList{Items: make([]contract.StockLevel, len(all))}
	for i, l := range all {
		list.Items[i] = levelJSON(l)
	}
	sendJSON(c, http.StatusOK, list)
}

// GetStock answers GET /api/v1/stock/{sku}.
func (s stock) GetStock(c *gin.Context, sku string) {
	l, err := s.levels.Level(c.Request.Context(), sku)
	if err != nil {
		s.write(c, err)
		return
	}
	sendJSON(c, http.StatusOK, levelJSON(l))
}

func levelJSON(l inventory.Level) contract.StockLevel {
	return contract.StockLevel{Sku: l.SKU, OnHand: l.OnHand, Reserved: l.Reserved, Available: l.Available()}
}
