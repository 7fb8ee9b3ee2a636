// Package gateway is the table of what the API gateway lets through, to whom, and for how long.
// No HTTP may be in this package: the table is data, and ports act on it.
package gateway

import (
	"path"
	"time"

	"millrace/app/messages"
)

// Route leads a path and all below it to a service.
type Route struct {
	Prefix  string        // without a slash at its end
	Service string        // its name, as in messages
	Timeout time.Duration // until the whole answer is there, or its stream has begun; 0 sets no limit
	Streams string        // what below Prefix is answered with a stream; * stands for one segment
}

// Stream says whether what is at p, escaped as in a URL, is answered with a stream: one that lasts as long as it likes.
func (r Route) Stream(p string) bool {
	match, err := path.Match(r.Prefix+r.Streams, p)
	return r.Streams != "" && match && err == nil
}

// Routes lists every route. A request for an order may wait two seconds for another one with the
// same Idempotency-Key, so ordering gets more time than the others.
func Routes() []Route {
	return []Route{
		{"/api/v1/orders", messages.OrderService, 10 * time.Second, "/*/events"},
		{"/api/v1/products", messages.OrderService, 5 * time.Second, ""},
		{"/api/v1/stock", messages.InventoryService, 5 * time.Second, ""},
	}
}
