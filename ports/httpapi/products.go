package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	ordering "millrace/app/order"
	"millrace/ports/httpapi/contract"
)

type products struct {
	show ShowProducts
	problems
}

// ListProducts answers GET /api/v1/products.
func (s products) ListProducts(c *gin.Context) {
	all, err := s.show.All(c.Request.Context())
	if err != nil {
		s.write(c, err)
		return
	}
	list := contract.ProductList{Items: make([]contract.Product, len(all))}
	for i, p := range all {
		list.Items[i] = productJSON(p)
	}
	sendJSON(c, http.StatusOK, list)
}

// GetProduct answers GET /api/v1/products/{sku}.
func (s products) GetProduct(c *gin.Context, sku string) {
	p, err := s.show.One(c.Request.Context(), sku)
	if err != nil {
		s.write(c, err)
		return
	}
	sendJSON(c, http.StatusOK, productJSON(p))
}

func productJSON(p ordering.Product) contract.Product {
	return contract.Product{Sku: p.SKU, Name: p.Name, Price: p.Price, Currency: p.Currency}
}
