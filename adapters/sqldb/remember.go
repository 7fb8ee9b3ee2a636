package sqldb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// statement is what the driver's statements can do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// maxRemembered bounds the statements of one connection; texts vary with their number of rows.
const maxRemembered = 256

// rememberingConn keeps the compiled statements of a connection: compiling is half of what a
// small statement costs in SQLite. PostgreSQL's driver keeps its own. Like every driver.Conn it
// is used by one goroutine at a time.
type rememberingConn struct {
	sqliteConn
	idle map[string]statement
}

// ExecContext runs a statement that gives no rows.
func (c *rememberingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !worthRemembering(query) {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	defer c.put(query, s)
	return s.ExecContext(ctx, args)
}

// QueryContext runs a statement that gives rows. It is free again when they are closed.
func (c *rememberingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !worthRemembering(query) {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		c.put(query, s)
		return nil, err
	}
	return &closingRows{Rows: rows, closed: func() { c.put(query, s) }}, nil
}

// Close forgets everything and closes the connection.
func (c *rememberingConn) Close() error {
	for _, s := range c.idle {
		_ = s.Close()
	}
	c.idle = nil
	return c.sqliteConn.Close()
}

// take gives a compiled statement to one user at a time.
func (c *rememberingConn) take(ctx context.Context, query string) (statement, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(statement)
	if !ok {
		return nil, fmt.Errorf("a statement of type %T cannot be kept", prepared)
	}
	return s, nil
}

func (c *rememberingConn) put(query string, s statement) {
	if c.idle == nil || c.idle[query] != nil || len(c.idle) >= maxRemembered {
		_ = s.Close()
		return
	}
	c.idle[query] = s
}

// worthRemembering leaves out what is run once, such as migrations.
func worthRemembering(query string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return true
	default:
		return false
	}
}

// closingRows tells when they are closed.
type closingRows struct {
	driver.Rows
	closed func()
}

// Close closes the rows, once.
func (r *closingRows) Close() error {
	err := r.Rows.Close()
	if r.closed != nil {
		r.closed()
		r.closed = nil
	}
	return err
}
