package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteConnector opens connections of one file.
type sqliteConnector struct {
	dsn    string
	driver *sqlite.Driver
	still  string // of a reader: the file's path
}

// Connect opens a connection.
func (c sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	able, ok := conn.(sqliteConn)
	if !ok {
		return conn, nil
	}
	if c.still != "" && c.cannotPrepare(ctx, able) {
		if err := able.Close(); err != nil {
			return nil, err
		}
		return sqliteConnector{dsn: c.dsn + "&immutable=1", driver: c.driver}.Connect(ctx)
	}
	return &rememberingConn{sqliteConn: able, idle: map[string]statement{}}, nil
}

// cannotPrepare says whether a reader may not even make the two files that SQLite wants beside one in WAL mode
// (sqlite.org/wal.html, "Read-Only Databases"), and they are not there: nobody has the file open, and all that was
// committed is in it. Then it is read as what never changes, for as long as the connection lives: what a process
// with more rights writes meanwhile is not to be relied on. Where the two are there, they are read as they are.
func (c sqliteConnector) cannotPrepare(ctx context.Context, conn sqliteConn) bool {
	_, err := conn.ExecContext(ctx, "PRAGMA schema_version", nil)
	var refused *sqlite.Error
	if !errors.As(err, &refused) || refused.Code()&0xff != sqlite3.SQLITE_CANTOPEN {
		return false // whoever uses the connection is told
	}
	_, err = os.Stat(c.still + "-wal")
	return errors.Is(err, fs.ErrNotExist)
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
