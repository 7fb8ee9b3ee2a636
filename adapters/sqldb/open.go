package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/XSAM/otelsql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	sqlite "modernc.org/sqlite"
)

// DB is one service's database: a PostgreSQL schema or an SQLite file. Go code reads and writes time.Time on both.
// PostgreSQL stores it as timestamptz, SQLite as whole microseconds since 1970.
type DB struct {
	*sqlx.DB          // for transactions; in SQLite a single connection, since it has one writer
	Read     *sqlx.DB // for reads outside of transactions
	Dialect  Dialect
	Name     string // the schema, or the file's path
	DSN      string // PostgreSQL only: for connections of one's own, such as LISTEN
}

// PostgresConfig says where PostgreSQL is.
type PostgresConfig struct {
	Host, Port, Database, User, Password, SSLMode string
	MaxConns                                      int // 0 for 16

	// ByIndex is for services, which only ever read a few rows by key. A plan is kept for as long
	// as its connection lives; one that was made while a table was empty would read the whole of
	// it when it is full, until statistics follow. So tables are not to be scanned where an index
	// can be used.
	ByIndex bool

	// ReadOnly is for those who must not act: the server itself refuses whatever they would write.
	ReadOnly bool
}

// DSN gives the address of one schema as a URL. Sessions wait two seconds at most for a lock, so
// that a request can say "in progress" instead of hanging.
func (c PostgresConfig) DSN(schema string) string {
	query := url.Values{
		"sslmode":                             {c.SSLMode},
		"search_path":                         {schema},
		"lock_timeout":                        {"2000"},
		"statement_timeout":                   {"30000"},
		"idle_in_transaction_session_timeout": {"60000"},
		"application_name":                    {"millrace"},
		"connect_timeout":                     {"5"},
	}
	if c.ByIndex {
		query.Set("enable_seqscan", "off")
		query.Set("jit", "off") // compiling takes longer than any statement of ours
	}
	if c.ReadOnly {
		query.Set("default_transaction_read_only", "on")
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: net.JoinHostPort(c.Host, c.Port), Path: "/" + c.Database, RawQuery: query.Encode()}
	return u.String()
}

// OpenPostgres prepares the connections of one schema. It does not connect: a database that is
// away is waited for by whoever uses it.
func OpenPostgres(c PostgresConfig, schema string) (*DB, error) {
	return OpenPostgresDSN(c.DSN(schema), schema, c.MaxConns)
}

// OpenPostgresDSN is OpenPostgres for an address as a URL.
func OpenPostgresDSN(dsn, schema string, maxConns int) (*DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL address: %w", err)
	}
	if maxConns == 0 {
		maxConns = 16
	}
	db := otelsql.OpenDB(stdlib.GetConnector(*config), spanOptions(semconv.DBSystemNamePostgreSQL, schema)...)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	pool := sqlx.NewDb(db, "pgx")
	return &DB{DB: pool, Read: pool, Dialect: Postgres, Name: schema, DSN: dsn}, nil
}

// OpenSQLite opens or makes a file. Every commit is on the disk before it returns.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	write := openFile(path, writer, 1)
	if err := write.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &DB{DB: write, Read: openFile(path, besideWriter, 4), Dialect: SQLite, Name: path}, nil
}

// OpenSQLiteReadOnly opens a file that another process may be writing, for readers that must not act. It can be
// on a disk that takes no writes at all, of a stack that has ended or was killed.
func OpenSQLiteReadOnly(path string) *DB {
	read := openFile(path, readOnly, 2)
	return &DB{DB: read, Read: read, Dialect: SQLite, Name: path}
}

// access is what the connections of a file are for.
type access int

const (
	writer       access = iota // transactions, each of which takes the lock of the one writer as it begins
	besideWriter               // reads beside a writer, in the same process
	readOnly                   // reads by somebody who may not write: nothing of the file is changed, its mode neither
)

// options are those of the connections' addresses (modernc.org/sqlite, Driver.Open).
func (a access) options() string {
	const (
		every   = "_pragma=busy_timeout(5000)&_time_integer_format=unix_micro&_inttotime=1"
		durable = every + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	)
	switch a {
	case writer:
		return durable + "&_txlock=immediate"
	case besideWriter:
		return durable
	default:
		return every + "&mode=ro&_pragma=query_only(1)"
	}
}

func openFile(path string, a access, conns int) *sqlx.DB {
	dsn := (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: a.options()}).String()
	connector := sqliteConnector{dsn: dsn, path: path, readOnly: a == readOnly, driver: &sqlite.Driver{}}
	db := otelsql.OpenDB(connector, spanOptions(semconv.DBSystemNameSQLite, path)...)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return sqlx.NewDb(db, "sqlite")
}

// Close closes both pools.
func (d *DB) Close() error {
	err := d.DB.Close()
	if d.Read != d.DB {
		if e := d.Read.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Ready says whether the database answers.
func (d *DB) Ready(ctx context.Context) error {
	var one int
	return d.Read.GetContext(ctx, &one, "SELECT 1")
}

// InTx runs fn in one transaction and commits when it returns nil.
func (d *DB) InTx(ctx context.Context, fn func(*sqlx.Tx) error) error {
	tx, err := d.BeginTxx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit; a panic must not keep the connection
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}
