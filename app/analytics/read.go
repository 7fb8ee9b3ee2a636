package analytics

import "time"

// Status is how a read model stands.
type Status struct {
	Model      string     `json:"model"`
	Orders     int        `json:"orders"`     // that are in it
	Behind     int        `json:"behind"`     // that have ended and are not
	Generation int        `json:"generation"` // 1, and one more for every rebuild
	RebuiltAt  *time.Time `json:"rebuiltAt"`  // nil: never
}

// SalesDay is a row of daily_sales.
type SalesDay struct {
	Day       string `json:"day"` // on which the orders were placed, in UTC, such as "2026-01-31"
	Currency  string `json:"currency"`
	Confirmed int64  `json:"confirmed"` // orders
	Revenue   int64  `json:"revenue"`   // of those, in minor units
	Failed    int64  `json:"failed"`    // orders
	Cancelled int64  `json:"cancelled"` // orders
}
