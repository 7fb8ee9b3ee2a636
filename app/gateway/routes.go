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
	Public  bool          // nobody is asked who they are, whatever AUTH_MODE says: nothing behind it is anybody's
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
		{Prefix: "/api/v1/orders", Service: messages.OrderService, Timeout: 10 * time.Second, Streams: "/*/events"},
		{Prefix: "/api/v1/products", Service: messages.OrderService, Timeout: 5 * time.Second, Public: true},
		{Prefix: "/api/v1/stock", Service: messages.InventoryService, Timeout: 5 * time.Second, Public: true},
	}
}
