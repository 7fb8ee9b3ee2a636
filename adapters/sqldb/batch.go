package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel/attribute"
)

// Statement is one of a batch. PostgreSQL's parameters may be written $1 or ?, SQLite's are ?.
type Statement struct {
	Query   string
	Args    []any
	Returns bool // it has a RETURNING clause, of text columns: see Result
	Into    any  // of a SELECT: a pointer to a slice that becomes its rows, of structs with db tags or of single values
}

// Result is what a statement of a batch did.
type Result struct {
	Changed  int64      // rows
	Returned [][]string // a row each, where the statement has a RETURNING clause
}

// Batch runs the statements in their order and tells what each of them did. It stops at the first
// that fails. PostgreSQL gets them in one round trip, the transaction's beginning too: waiting for an
// answer to each costs both sides more than the statements themselves.
//
// After a failure nothing more is done, and nothing is committed.
func (t *Tx) Batch(ctx context.Context, statements []Statement) (results []Result, err error) {
	if t.failed != nil {
		return nil, t.failed
	}
	defer func() { t.failed = err }()
	if t.file != nil {
		return t.oneByOne(ctx, statements)
	}
	ctx, end := t.span(ctx, "sql.conn.batch", attribute.Int("db.operation.batch.size", len(statements)))
	defer func() { end(err) }()
	results = make([]Result, len(statements))
	err = t.raw(func(conn *pgx.Conn) (err error) {
		batch := &pgx.Batch{}
		first := !t.open
		if first {
			batch.Queue("BEGIN")
			t.open = true // whatever comes of it: the end looks
		}
		for _, s := range statements {
			batch.Queue(t.rebind(s.Query), s.Args...)
		}
		sent := conn.SendBatch(ctx, batch)
		defer func() { err = cmp.Or(err, sent.Close()) }()
		if first {
			if _, err := sent.Exec(); err != nil {
				return err
			}
		}
		for i, s := range statements {
			if results[i], err = answer(sent, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// oneByOne is Batch in SQLite, which runs in this process: there are no round trips to save.
func (t *Tx) oneByOne(ctx context.Context, statements []Statement) ([]Result, error) {
	results := make([]Result, len(statements))
	for i, s := range statements {
		var err error
		if results[i], err = t.run(ctx, s); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (t *Tx) run(ctx context.Context, s Statement) (Result, error) {
	query := t.rebind(s.Query)
	if s.Into != nil {
		return Result{}, t.file.SelectContext(ctx, s.Into, query, s.Args...)
	}
	if !s.Returns {
		done, err := t.file.ExecContext(ctx, query, s.Args...)
		if err != nil {
			return Result{}, err
		}
		changed, err := done.RowsAffected()
		return Result{Changed: changed}, err
	}
	rows, err := t.file.QueryxContext(ctx, query, s.Args...)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return Result{}, err
	}
	return returned(rows, len(columns))
}

// answer reads what PostgreSQL says to one statement of a batch.
func answer(sent pgx.BatchResults, s Statement) (Result, error) {
	if s.Into == nil && !s.Returns {
		tag, err := sent.Exec()
		return Result{Changed: tag.RowsAffected()}, err
	}
	rows, err := sent.Query()
	if err != nil {
		return Result{}, err
	}
	defer rows.Close()
	if s.Into != nil {
		return Result{}, collect(rows, s.Into)
	}
	return returned(rows, len(rows.FieldDescriptions()))
}

// scanner is what the rows of both dialects can do.
type scanner interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}

// returned reads the rows of a RETURNING clause.
func returned(rows scanner, columns int) (Result, error) {
	var r Result
	for rows.Next() {
		row, into := make([]string, columns), make([]any, columns)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return Result{}, err
		}
		r.Returned = append(r.Returned, row)
	}
	r.Changed = int64(len(r.Returned))
	return r, rows.Err()
}

// named gives pgx's rows the names of their columns as sqlx asks for them, so that it can fill structs.
type named struct{ pgx.Rows }

func (n named) Columns() ([]string, error) {
	fields := n.FieldDescriptions()
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names, nil
}

func (n named) Close() error {
	n.Rows.Close()
	return nil
}

// collect makes rows of the slice that into points to.
func collect(rows pgx.Rows, into any) error {
	slice := reflect.ValueOf(into).Elem()
	kind := slice.Type().Elem()
	if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() && !reflect.PointerTo(kind).Implements(reflect.TypeFor[sql.Scanner]()) {
		return sqlx.StructScan(named{rows}, into)
	}
	slice.SetLen(0)
	for rows.Next() {
		value := reflect.New(kind)
		if err := rows.Scan(value.Interface()); err != nil {
			return err
		}
		slice.Set(reflect.Append(slice, value.Elem()))
	}
	return rows.Err()
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
