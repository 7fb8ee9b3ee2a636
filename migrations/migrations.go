// Package migrations holds the schema of every service in both dialects, one folder a service.
// A file that has been released never changes: a change is a new file.
package migrations

import "embed"

// Files is postgres/<schema>/*.sql and sqlite/<schema>/*.sql, in goose's format.
//
//go:embed postgres sqlite
var Files embed.FS

// Schemas lists the databases there are: a schema in PostgreSQL, a file in SQLite.
var Schemas = []string{"orders", "payments", "inventory", "notifications"}
