// Package api holds the contracts: openapi.yaml for callers over HTTP, asyncapi.yaml and one JSON
// Schema a message for whoever reads the topics. They are written by hand and come first; code
// follows them. No behaviour may be in this package.
package api

import "embed"

// OpenAPI is the contract of the HTTP API, OpenAPI 3.1.
//
//go:embed openapi.yaml
var OpenAPI []byte

// AsyncAPI is the contract of the topics, AsyncAPI 3.0.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// Schemas has schemas/envelope.json and schemas/<Message>.json, JSON Schema 2020-12.
//
//go:embed schemas/*.json
var Schemas embed.FS
