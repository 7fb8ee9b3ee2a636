// Package contract is api/openapi.yaml in Go: its models, and for each of its tags an interface with
// the routes that lead to it. A call that is added to the contract does not compile until it is
// answered.
//
// What is here is generated, except the form of a time. No behaviour may be in this package.
package contract

//go:generate go tool -modfile=../../../tools.mod oapi-codegen -config models.yaml ../../../api/openapi.yaml
//go:generate go tool -modfile=../../../tools.mod oapi-codegen -config orders.yaml ../../../api/openapi.yaml
//go:generate go tool -modfile=../../../tools.mod oapi-codegen -config events.yaml ../../../api/openapi.yaml
//go:generate go tool -modfile=../../../tools.mod oapi-codegen -config products.yaml ../../../api/openapi.yaml
//go:generate go tool -modfile=../../../tools.mod oapi-codegen -config stock.yaml ../../../api/openapi.yaml

import "time"

// Time is a moment as the API writes it: RFC 3339 in UTC, always with six digits of a second, so
// that sorting the text is sorting by time.
type Time time.Time

const timeForm = "2006-01-02T15:04:05.000000Z"

// MarshalText writes the moment.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, timeForm), nil
}

// UnmarshalText reads any RFC 3339 time.
func (t *Time) UnmarshalText(text []byte) error { return (*time.Time)(t).UnmarshalText(text) }
