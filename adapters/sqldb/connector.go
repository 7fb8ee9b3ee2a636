package sqldb

import (
	"context"
	"database/sql/driver"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	sqlite "modernc.org/sqlite"
)

// sqliteConnector opens connections of one file.
type sqliteConnector struct {
	dsn    string
	driver *sqlite.Driver
}

// Connect opens a connection.
func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	able, ok := conn.(sqliteConn)
	if !ok {
		return conn, nil
	}
	return &rememberingConn{sqliteConn: able, idle: map[string]statement{}}, nil
}

// Driver gives the driver.
func (c sqliteConnector) Driver() driver.Driver { return c.driver }

// spanOptions makes a span of every statement and transaction that belongs to a recorded trace.
// Polling and housekeeping begin no traces of their own.
func spanOptions(system attribute.KeyValue, name string) []otelsql.Option {
	return []otelsql.Option{
		otelsql.WithAttributes(system, semconv.DBNamespace(name)),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			OmitConnResetSession: true,
			OmitConnPrepare:      true,
			OmitRows:             true,
			DisableErrSkip:       true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return trace.SpanFromContext(ctx).IsRecording()
			},
		}),
	}
}
