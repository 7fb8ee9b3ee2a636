package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
)

// snapshot is one database at one moment.
type snapshot struct {
	ctx     context.Context
	tx      *sqlx.Tx
	dialect sqldb.Dialect
}

// open takes the snapshot. It lasts until close, and keeps nobody from writing.
func open(ctx context.Context, db *sqldb.DB) (*snapshot, error) {
	options := &sql.TxOptions{ReadOnly: true}
	if db.Dialect == sqldb.Postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.Read.BeginTxx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", db.Name, sqldb.Classify(err))
	}
	s := &snapshot{ctx, tx, db.Dialect}
	if err := s.begin(); err != nil {
		s.close()
		return nil, fmt.Errorf("read %s: %w", db.Name, sqldb.Classify(err))
	}
	return s, nil
}

// begin reads something, because the snapshot's moment is that of its first read. PostgreSQL's
// limits are made for short transactions; this one is long, sorts everything, and locks nothing.
func (s *snapshot) begin() error {
	if s.dialect == sqldb.Postgres {
		for _, setting := range []string{
			"statement_timeout = 0", "idle_in_transaction_session_timeout = 0", "work_mem = '64MB'",
			"jit = off", // compiling each of twenty statements takes longer than it saves
		} {
			if _, err := s.tx.ExecContext(s.ctx, "SET LOCAL "+setting); err != nil {
				return err
			}
		}
	}
	_, err := s.count("SELECT count(*) FROM goose_db_version")
	return err
}

func (s *snapshot) close() { _ = s.tx.Rollback() }

// Where the dialects differ: {each COLUMN} is a JSON array's elements as e.value, none of null, {bytewise}
// orders texts as Go does.
func (s *snapshot) text(query string) string {
	bytewise, open, closing := `COLLATE "C"`, "jsonb_array_elements(CAST(coalesce(nullif(", ", 'null'), '[]') AS jsonb)) AS e(value)"
	if s.dialect == sqldb.SQLite {
		bytewise, open, closing = "COLLATE BINARY", "json_each(coalesce(nullif(", ", 'null'), '[]')) AS e"
	}
	query = strings.ReplaceAll(query, "{bytewise}", bytewise)
	for {
		before, rest, found := strings.Cut(query, "{each ")
		if !found {
			return s.tx.Rebind(query)
		}
		column, after, _ := strings.Cut(rest, "}")
		query = before + open + column + closing + after
	}
}

// rows reads a whole answer, for queries that answer with offenders alone.
func rows[T any](s *snapshot, query string, args ...any) ([]T, error) {
	var all []T
	if err := s.tx.SelectContext(s.ctx, &all, s.text(query), args...); err != nil {
		return nil, fmt.Errorf("verify: %w", sqldb.Classify(err))
	}
	return all, nil
}

// count reads one number.
func (s *snapshot) count(query string) (int, error) {
	var n int
	if err := s.tx.GetContext(s.ctx, &n, s.text(query)); err != nil {
		return 0, fmt.Errorf("verify: %w", sqldb.Classify(err))
	}
	return n, nil
}

// cursor walks through an answer that is sorted by order id, one row at a time.
type cursor[T any] struct {
	rows  *sql.Rows
	scan  func(*sql.Rows, *T) error
	key   func(*T) string
	row   T
	valid bool
}

// walk opens a cursor on its first row.
func walk[T any](s *snapshot, scan func(*sql.Rows, *T) error, key func(*T) string, query string, args ...any) (*cursor[T], error) {
	r, err := s.tx.QueryContext(s.ctx, s.text(query), args...) //nolint:rowserrcheck // next asks for it at the end
	if err != nil {
		return nil, fmt.Errorf("verify: %w", sqldb.Classify(err))
	}
	c := &cursor[T]{rows: r, scan: scan, key: key}
	if err := c.next(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cursor[T]) close() { _ = c.rows.Close() }

func (c *cursor[T]) next() error {
	if c.valid = c.rows.Next(); !c.valid {
		return sqldb.Classify(c.rows.Err())
	}
	var row T // a new one: whoever was given the last may still hold it
	c.row = row
	return sqldb.Classify(c.scan(c.rows, &c.row))
}

// take gives the row of an order, nil when there is none. Rows that are passed over belong to no
// order: each is handed to orphan.
func (c *cursor[T]) take(orderID string, orphan func(orderID string)) (*T, error) {
	for c.valid {
		switch key := c.key(&c.row); {
		case key > orderID:
			return nil, nil
		case key == orderID:
			row := c.row
			return &row, c.next()
		default:
			orphan(key)
		}
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// rest hands every row that is left to orphan.
func (c *cursor[T]) rest(orphan func(orderID string)) error {
	for c.valid {
		orphan(c.key(&c.row))
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}
