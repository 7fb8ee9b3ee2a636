package main

import (
	"fmt"

	"millrace/app/order"
	"millrace/domain/inventory"
)

const plenty = 1_000_000

// demoCatalog is what `seed` puts on sale.
func demoCatalog() []order.Product {
	products := []order.Product{
		{SKU: "SKU-123", Name: "Ceylon tea, 200 g", Price: 1200, Currency: "LKR"},
		{SKU: "SKU-LOW", Name: "Cinnamon sticks, the last ones", Price: 500, Currency: "LKR"},
		{SKU: "SKU-NONE", Name: "Cardamom, sold out", Price: 700, Currency: "LKR"},
	}
	for n := 1; n <= 100; n++ {
		products = append(products, order.Product{
			SKU: fmt.Sprintf("SKU-%03d", n), Name: fmt.Sprintf("Spice box no. %d", n), Price: int64(n) * 100, Currency: "LKR",
		})
	}
	return products
}

// demoStock is how many of each there are.
func demoStock() []inventory.Level {
	var levels []inventory.Level
	for _, p := range demoCatalog() {
		onHand := plenty
		switch p.SKU {
		case "SKU-LOW":
			onHand = 3
		case "SKU-NONE":
			onHand = 0
		}
		levels = append(levels, inventory.Level{SKU: p.SKU, OnHand: onHand})
	}
	return levels
}
