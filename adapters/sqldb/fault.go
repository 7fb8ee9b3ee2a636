package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"millrace/domain/fault"
)

// Faults that a database can give.
var (
	ErrAway     = fault.New(fault.Unavailable, "database_unavailable", "the database is not reachable")
	ErrBusy     = fault.New(fault.Unavailable, "database_busy", "the database did not give a lock in time")
	ErrSlow     = fault.New(fault.Unavailable, "database_slow", "the database broke a statement off that took too long")
	ErrRetry    = fault.New(fault.Conflict, "transaction_conflict", "the transaction met another one")
	ErrTaken    = fault.New(fault.Conflict, "unique_violation", "such a row is there already")
	ErrRefused  = fault.New(fault.Internal, "constraint_violation", "the database refused a row")
	ErrFull     = fault.New(fault.Unavailable, "disk_full", "the disk is full")
	ErrLogin    = fault.New(fault.Internal, "database_login", "PostgreSQL refuses the login: see POSTGRES_USER and POSTGRES_PASSWORD")
	ErrNoSuchDB = fault.New(fault.Internal, "database_missing", "PostgreSQL has no such database: make it, or see POSTGRES_DB")
	ErrReadOnly = fault.New(fault.Unavailable, "database_read_only", "the database accepts no writes")
)

// OutOfTime says whether the database has given up a wait, for a lock or for the end of a statement. It is there, and
// may do the same in time when it is asked again.
func OutOfTime(err error) bool { return errors.Is(err, ErrBusy) || errors.Is(err, ErrSlow) }

// Classify gives a database error its kind. Faults and cancelled contexts pass unchanged.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.Find(err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyPostgres(pg, err)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return classifySQLite(lite, err)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &network), errors.As(err, &connect), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, context.DeadlineExceeded),
		pgconn.SafeToRetry(err), strings.Contains(err.Error(), "unexpected EOF"),
		strings.Contains(err.Error(), "conn closed"):
		return ErrAway.Because(err)
	}
	return err
}

// classifyPostgres goes by SQLSTATE (PostgreSQL manual, appendix A).
func classifyPostgres(pg *pgconn.PgError, err error) error {
	switch pg.Code {
	case "40001", "40P01":
		return ErrRetry.Because(err)
	case "23505":
		return ErrTaken.Because(err)
	case "55P03":
		return ErrBusy.Because(err)
	case "57014":
		return ErrSlow.Because(err)
	case "28000", "28P01":
		return ErrLogin.Because(err)
	case "3D000":
		return ErrNoSuchDB.Because(err)
	case "53100":
		return ErrFull.Because(err)
	case "25006":
		return ErrReadOnly.Because(err)
	}
	switch pg.Code[:2] {
	case "08", "53", "57":
		return ErrAway.Because(err)
	case "23":
		return ErrRefused.Because(err)
	}
	return err
}

// classifySQLite goes by the primary result code (sqlite.org/rescode.html).
func classifySQLite(e *sqlite.Error, err error) error {
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrTaken.Because(err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return ErrBusy.Because(err)
	case sqlite3.SQLITE_FULL:
		return ErrFull.Because(err)
	case sqlite3.SQLITE_READONLY:
		return ErrReadOnly.Because(err)
	case sqlite3.SQLITE_CONSTRAINT:
		return ErrRefused.Because(err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return ErrAway.Because(err)
	}
	return err
}
