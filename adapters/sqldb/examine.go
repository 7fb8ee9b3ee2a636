package sqldb

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
)

// Weakness is a setting of the database under which what was committed may be lost, or a transaction
// sees what it must not.
type Weakness struct {
	Setting string // as the database calls it
	Detail  string // what it is, and what comes of it
	Advice  string // what to do
}

// oldestServer is the PostgreSQL version that the migrations and the statements are written for.
const oldestServer = 15

// Examine looks at the settings of the database, as the sessions of these pools have them. It changes
// nothing. It fails with a fault of the database.
func Examine(ctx context.Context, db *DB) ([]Weakness, error) {
	if db.Dialect == SQLite {
		return examineSQLite(ctx, db)
	}
	return examinePostgres(ctx, db)
}

func examinePostgres(ctx context.Context, db *DB) ([]Weakness, error) {
	rows := []struct{ Name, Setting string }{}
	err := db.Read.SelectContext(ctx, &rows, `SELECT name, setting FROM pg_settings WHERE name IN
		('fsync', 'full_page_writes', 'synchronous_commit', 'default_transaction_isolation', 'default_transaction_read_only', 'server_version_num')
		UNION ALL SELECT 'in recovery', pg_is_in_recovery()::text`)
	if err != nil {
		return nil, fmt.Errorf("settings of PostgreSQL: %w", Classify(err))
	}
	is := map[string]string{}
	for _, r := range rows {
		is[r.Name] = r.Setting
	}
	version, err := strconv.Atoi(is["server_version_num"])
	if err != nil {
		return nil, fmt.Errorf("version of PostgreSQL: %w", err)
	}
	return judge(is, version), nil
}

// judge says what is wrong with a server's settings, by their names.
func judge(is map[string]string, version int) []Weakness {
	var found []Weakness
	add := func(wrong bool, setting, detail, advice string) {
		if wrong {
			found = append(found, Weakness{setting, detail, advice})
		}
	}
	add(is["fsync"] != "on", "fsync", "is off, so a crash of the machine can lose or break everything", "set fsync = on")
	add(is["full_page_writes"] != "on", "full_page_writes", "is off, so a crash of the machine can leave torn pages", "set full_page_writes = on")
	add(is["synchronous_commit"] == "off", "synchronous_commit", "is off, so an order that was answered 202 can be gone after a crash", "set synchronous_commit = on, for the server, the database and the user")
	add(is["in recovery"] == "true", "in_recovery", "is true: this server is a replica and takes no writes", "set POSTGRES_HOST to the primary")
	add(is["in recovery"] != "true" && is["default_transaction_read_only"] == "on", "default_transaction_read_only", "is on, so nothing can be written", "set it off, for the server, the database and the user")
	isolation := is["default_transaction_isolation"]
	add(isolation != "read committed", "default_transaction_isolation", "is "+isolation+", and the statements are written for read committed", "set it to read committed, for the server, the database and the user")
	add(version < oldestServer*10_000, "server_version", fmt.Sprintf("is %d, and %d is the oldest that is known to work", version/10_000, oldestServer), "install a newer one")
	return found
}

// examineSQLite asks every pool: journal_mode belongs to the file, synchronous to a connection. A pool
// that only reads need not be durable.
func examineSQLite(ctx context.Context, db *DB) ([]Weakness, error) {
	journal, err := pragma(ctx, db.DB, "journal_mode")
	if err != nil {
		return nil, err
	}
	sync, err := pragma(ctx, db.DB, "synchronous")
	if err != nil {
		return nil, err
	}
	foreign, err := pragma(ctx, db.DB, "foreign_keys")
	if err != nil {
		return nil, err
	}
	readOnly, err := pragma(ctx, db.DB, "query_only")
	if err != nil {
		return nil, err
	}
	var found []Weakness
	if journal != "wal" {
		found = append(found, Weakness{"journal_mode", "is " + journal + ", so whoever reads stops whoever writes", "open the file with journal_mode(WAL)"})
	}
	// 2 is FULL and 3 is EXTRA (sqlite.org/pragma.html#pragma_synchronous).
	if readOnly == "0" && sync != "2" && sync != "3" {
		found = append(found, Weakness{"synchronous", "is " + sync + ", so an order that was answered 202 can be gone after a crash of the machine", "open the file with synchronous(FULL)"})
	}
	if readOnly == "0" && foreign != "1" {
		found = append(found, Weakness{"foreign_keys", "is off, so rows may point to nothing", "open the file with foreign_keys(1)"})
	}
	return found, nil
}

func pragma(ctx context.Context, pool *sqlx.DB, name string) (string, error) {
	var value string
	if err := pool.GetContext(ctx, &value, "PRAGMA "+name); err != nil {
		return "", fmt.Errorf("settings of SQLite: %s: %w", name, Classify(err))
	}
	return value, nil
}
