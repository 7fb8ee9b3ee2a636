package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Statement is one of a batch: a text with ? for its parameters.
type Statement struct {
	Query string
	Args  []any
}

// Tx is a transaction that can send many statements at once.
type Tx struct {
	*sqlx.Tx
	conn *sqlx.Conn // PostgreSQL only: the connection underneath
}

// InBatchTx is InTx with a transaction that can send batches.
func (d *DB) InBatchTx(ctx context.Context, fn func(*Tx) error) error {
	if d.Dialect == SQLite {
		return d.InTx(ctx, func(tx *sqlx.Tx) error { return fn(&Tx{Tx: tx}) })
	}
	conn, err := d.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	tx, err := conn.BeginTxx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit; a panic must not keep the connection
	if err := fn(&Tx{Tx: tx, conn: conn}); err != nil {
		return err
	}
	return tx.Commit()
}

// Batch runs the statements in their order and gives how many rows each of them changed. It stops
// at the first that fails. PostgreSQL gets them in one round trip: waiting for an answer to each
// costs both sides more than the statements themselves.
func (t *Tx) Batch(ctx context.Context, statements []Statement) ([]int64, error) {
	changed := make([]int64, len(statements))
	if t.conn == nil || len(statements) == 1 {
		for i, s := range statements {
			result, err := t.ExecContext(ctx, t.Rebind(s.Query), s.Args...)
			if err != nil {
				return nil, err
			}
			if changed[i], err = result.RowsAffected(); err != nil {
				return nil, err
			}
		}
		return changed, nil
	}
	if trace.SpanFromContext(ctx).IsRecording() {
		var span trace.Span
		ctx, span = otel.Tracer("millrace/adapters/sqldb").Start(ctx, "sql.conn.batch", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.Int("db.operation.batch.size", len(statements))))
		defer span.End()
	}
	err := t.conn.Raw(func(raw any) error {
		conn, err := postgresConn(raw)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for _, s := range statements {
			batch.Queue(t.Rebind(s.Query), s.Args...)
		}
		results := conn.SendBatch(ctx, batch)
		for i := range statements {
			tag, err := results.Exec()
			if err != nil {
				return errors.Join(err, results.Close())
			}
			changed[i] = tag.RowsAffected()
		}
		return results.Close()
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// postgresConn finds pgx's connection under what database/sql was given.
func postgresConn(raw any) (*pgx.Conn, error) {
	if wrapped, ok := raw.(interface{ Raw() driver.Conn }); ok {
		raw = wrapped.Raw()
	}
	conn, ok := raw.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T cannot send batches", raw)
	}
	return conn.Conn(), nil
}
