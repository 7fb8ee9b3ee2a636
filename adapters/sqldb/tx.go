package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tx is a transaction that can send many statements at once. In PostgreSQL it begins with the first of
// them, in the same round trip, and so is not one of database/sql's.
type Tx struct {
	file *sqlx.Tx   // SQLite's; nil in PostgreSQL
	conn *sqlx.Conn // PostgreSQL's, held from beginning to end

	failed error                // the first failure: whatever comes of it, nothing is committed
	open   bool                 // begun, and not ended; PostgreSQL only
	system []attribute.KeyValue // of spans; PostgreSQL only
}

// InBatchTx is InTx with a transaction that can send batches: what fn does is committed when it returns nil,
// and otherwise never was.
func (d *DB) InBatchTx(ctx context.Context, fn func(*Tx) error) error {
	if d.Dialect == SQLite {
		return d.InTx(ctx, func(file *sqlx.Tx) error {
			tx := &Tx{file: file}
			if err := fn(tx); err != nil {
				return err
			}
			return tx.failed
		})
	}
	conn, err := d.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	tx := &Tx{conn: conn, system: []attribute.KeyValue{semconv.DBSystemNamePostgreSQL, semconv.DBNamespace(d.Name)}}
	defer tx.rollback() // does nothing after the commit; a panic must not keep the connection
	if err := fn(tx); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// rebind writes a query's parameters as the dialect wants them.
func (t *Tx) rebind(query string) string {
	if t.file != nil {
		return t.file.Rebind(query)
	}
	return t.conn.Rebind(query)
}

// SelectContext makes the slice that into points to the rows of a query, of structs with db tags or of single
// values.
func (t *Tx) SelectContext(ctx context.Context, into any, query string, args ...any) error {
	_, err := t.Batch(ctx, []Statement{{Query: query, Args: args, Into: into}})
	return err
}

// ExecContext runs a statement that gives no rows.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	results, err := t.Batch(ctx, []Statement{{Query: query, Args: args}})
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(results[0].Changed), nil
}

func (t *Tx) commit(ctx context.Context) (err error) {
	if t.failed != nil || !t.open { // or nothing was done
		return t.failed
	}
	ctx, end := t.span(ctx, "sql.tx.commit")
	defer func() { end(err) }()
	err = t.raw(func(conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, "COMMIT")
		if err == nil && tag.String() != "COMMIT" { // "ROLLBACK", for a transaction that was broken
			return pgx.ErrTxCommitRollback
		}
		return err
	})
	t.open = err != nil
	return err
}

// span tells of a round trip where the trace is recorded: otelsql, which does so for all others, is passed by.
func (t *Tx) span(ctx context.Context, name string, more ...attribute.KeyValue) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := otel.Tracer("millrace/adapters/sqldb").Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(append(more, t.system...)...))
	return ctx, func(err error) {
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// rollbackTime is how long taking back may take before the connection is given up, which takes back too.
const rollbackTime = 2 * time.Second

// rollback ends what was begun and not committed, and lets the connection go on. One of which that is not certain
// is closed.
func (t *Tx) rollback() {
	if !t.open {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTime)
	defer cancel()
	_ = t.raw(func(conn *pgx.Conn) error {
		const idle = 'I' // protocol's ReadyForQuery: in no transaction
		if !conn.IsClosed() && conn.PgConn().TxStatus() != idle {
			_, _ = conn.Exec(ctx, "ROLLBACK")
		}
		if conn.IsClosed() || conn.PgConn().TxStatus() != idle {
			return driver.ErrBadConn // database/sql throws it away
		}
		return nil
	})
}

// raw hands out pgx's own connection.
func (t *Tx) raw(fn func(*pgx.Conn) error) error {
	return t.conn.Raw(func(raw any) error {
		conn, err := postgresConn(raw)
		if err != nil {
			return err
		}
		return fn(conn)
	})
}
