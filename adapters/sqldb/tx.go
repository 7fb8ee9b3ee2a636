package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
)

// Tx is a transaction that can send many statements at once. In PostgreSQL it begins with the first of
// them, in the same round trip, and so is not one of database/sql's.
type Tx struct {
	file  *sqlx.Tx   // SQLite's
	conn  *sqlx.Conn // PostgreSQL's, held from beginning to end
	begun bool       // PostgreSQL only
}

// InBatchTx is InTx with a transaction that can send batches: what fn does is committed when it returns nil,
// and otherwise never was.
func (d *DB) InBatchTx(ctx context.Context, fn func(*Tx) error) error {
	if d.Dialect == SQLite {
		return d.InTx(ctx, func(tx *sqlx.Tx) error { return fn(&Tx{file: tx}) })
	}
	conn, err := d.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	tx := &Tx{conn: conn}
	defer tx.rollback() // does nothing after the commit; a panic must not keep the connection
	if err := fn(tx); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// Rebind writes a query's parameters as the dialect wants them.
func (t *Tx) Rebind(query string) string {
	if t.file != nil {
		return t.file.Rebind(query)
	}
	return t.conn.Rebind(query)
}

// SelectContext adds the rows of a query to the slice that into points to, of structs with db tags or of single
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

func (t *Tx) commit(ctx context.Context) error {
	if !t.begun {
		return nil // nothing was done
	}
	err := t.raw(func(conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, "COMMIT")
		if err == nil && tag.String() == "ROLLBACK" { // so PostgreSQL answers when a statement had failed
			return pgx.ErrTxCommitRollback
		}
		return err
	})
	t.begun = err != nil
	return err
}

// rollbackTime is how long taking back may take before the connection is given up, which takes back too.
const rollbackTime = 2 * time.Second

// rollback ends what was begun and not committed. A connection of which that is not certain is closed: the
// next to have it would go on in the same transaction.
func (t *Tx) rollback() {
	if !t.begun {
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
