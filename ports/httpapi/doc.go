// Package httpapi is the HTTP side of every service: it turns requests into calls of use cases
// and their faults into problems (RFC 9457), exactly as api/openapi.yaml says.
//
// There is one constructor a service: NewOrders, NewInventory, NewGateway, and NewBare for those
// that have no API of their own. All answer /livez, /readyz, /healthz, /metrics and the pages
// under /problems. Serve runs any of them on a listener.
//
// No rule of the business may be in this package, and no SQL, Kafka or Watermill.
package httpapi
