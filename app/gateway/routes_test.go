package gateway_test

import (
	"testing"

	"millrace/app/gateway"
)

func TestOnlyTheEventsOfAnOrderAreAStream(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"/api/v1/orders/ord_1/events":       true,
		"/api/v1/orders/ord_a%2Fb/events":   true, // one segment, whatever the order service says to it
		"/api/v1/orders":                    false,
		"/api/v1/orders/ord_1":              false,
		"/api/v1/orders/ord_1/cancel":       false,
		"/api/v1/orders/events":             false,
		"/api/v1/orders//events":            true,
		"/api/v1/orders/ord_1/events/":      false,
		"/api/v1/orders/ord_1/x/events":     false,
		"/api/v1/products":                  false,
		"/api/v1/products/SKU-123/events":   false,
		"/api/v1/stock":                     false,
		"/other/api/v1/orders/ord_1/events": false,
	} {
		streams := false
		for _, r := range gateway.Routes() {
			streams = streams || r.Stream(p)
		}
		if streams != want {
			t.Errorf("%s is a stream: %t, want %t", p, streams, want)
		}
	}
}
