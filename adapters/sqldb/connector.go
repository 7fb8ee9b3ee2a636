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
	dsn      string
	path     string
	readOnly bool
	driver   *sqlite.Driver
}

// Connect opens a connection. One that may only read is opened once more, as to a file that never changes, where
// SQLite cannot read it otherwise.
func (c sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	able, ok := conn.(sqliteConn)
	if !ok {
		return conn, nil
	}
	if c.readOnly && c.cannotPrepare(ctx, able) {
		if err := able.Close(); err != nil {
			return nil, err
		}
		return sqliteConnector{dsn: c.dsn + "&immutable=1", path: c.path, driver: c.driver}.Connect(ctx)
	}
	return &rememberingConn{sqliteConn: able, idle: map[string]statement{}}, nil
}

// cannotPrepare says whether a file in WAL mode cannot be read because its two companions, path-wal and path-shm,
// are not there, and may not be made by whoever asks (sqlite.org/wal.html, "Read-Only Databases"). Then nobody has
// the file open, and all that was committed is in it: it can be read as one that never changes, for as long as the
// connection lives. A process with more rights may write to it meanwhile; what a reader sees then is not to be
// relied on. Where the companions are there, they are read as they are.
func (c sqliteConnector) cannotPrepare(ctx context.Context, conn sqliteConn) bool {
	_, err := conn.ExecContext(ctx, "PRAGMA schema_version", nil)
	var refused *sqlite.Error
	if !errors.As(err, &refused) || refused.Code()&0xff != sqlite3.SQLITE_CANTOPEN {
		return false // whoever uses the connection is told
	}
	_, err = os.Stat(c.path + "-wal")
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
