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

// Statement is one of a batch. PostgreSQL's parameters may be written $1 or ?, SQLite's are ?.
type Statement struct {
	Query   string
	Args    []any
	Returns bool // it has a RETURNING clause, of text columns
}

// Result is what a statement of a batch did.
type Result struct {
	Changed  int64      // rows
	Returned [][]string // a row each, where the statement has a RETURNING clause
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

// Batch runs the statements in their order and tells what each of them did. It stops at the first
// that fails. PostgreSQL gets them in one round trip: waiting for an answer to each costs both
// sides more than the statements themselves.
func (t *Tx) Batch(ctx context.Context, statements []Statement) ([]Result, error) {
	results := make([]Result, len(statements))
	if t.conn == nil || len(statements) == 1 {
		for i, s := range statements {
			var err error
			if results[i], err = t.run(ctx, s); err != nil {
				return nil, err
			}
		}
		return results, nil
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
		sent := conn.SendBatch(ctx, batch)
		for i, s := range statements {
			if results[i], err = answer(sent, s); err != nil {
				return errors.Join(err, sent.Close())
			}
		}
		return sent.Close()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// run runs one statement by itself.
func (t *Tx) run(ctx context.Context, s Statement) (Result, error) {
	query := t.Rebind(s.Query)
	if !s.Returns {
		done, err := t.ExecContext(ctx, query, s.Args...)
		if err != nil {
			return Result{}, err
		}
		changed, err := done.RowsAffected()
		return Result{Changed: changed}, err
	}
	rows, err := t.QueryxContext(ctx, query, s.Args...)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return Result{}, err
	}
	var r Result
	for rows.Next() {
		row, into := textRow(len(columns))
		if err := rows.Scan(into...); err != nil {
			return Result{}, err
		}
		r.Returned = append(r.Returned, row)
	}
	r.Changed = int64(len(r.Returned))
	return r, rows.Err()
}

// answer reads what PostgreSQL says to one statement of a batch.
func answer(sent pgx.BatchResults, s Statement) (Result, error) {
	if !s.Returns {
		tag, err := sent.Exec()
		return Result{Changed: tag.RowsAffected()}, err
	}
	rows, err := sent.Query()
	if err != nil {
		return Result{}, err
	}
	defer rows.Close()
	var r Result
	for rows.Next() {
		row, into := textRow(len(rows.FieldDescriptions()))
		if err := rows.Scan(into...); err != nil {
			return Result{}, err
		}
		r.Returned = append(r.Returned, row)
	}
	r.Changed = int64(len(r.Returned))
	return r, rows.Err()
}

// textRow makes a row and where to scan it.
func textRow(columns int) (row []string, into []any) {
	row, into = make([]string, columns), make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	return row, into
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
