package sqldb

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"millrace/domain/fault"
	"millrace/migrations"
)

// Versions says how far a database is, and how far this build goes.
type Versions struct {
	Database string `json:"database"`
	At       int64  `json:"at"`    // version of the database
	Build    int64  `json:"build"` // version that this build needs
}

// ErrVersion: the database is not at the version that this build needs.
var ErrVersion = fault.New(fault.Invalid, "schema_version", "the database has another version than this build")

// Migrate brings a database to this build's version.
func Migrate(ctx context.Context, db *DB, schema string) error {
	p, err := provider(ctx, db, schema, true)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", schema, err)
	}
	return nil
}

// MigrateDown takes the newest migration back.
func MigrateDown(ctx context.Context, db *DB, schema string) error {
	p, err := provider(ctx, db, schema, false)
	if err != nil {
		return err
	}
	if _, err := p.Down(ctx); err != nil {
		return fmt.Errorf("migrate %s down: %w", schema, err)
	}
	return nil
}

// Status compares a database with this build. It changes nothing.
func Status(ctx context.Context, db *DB, schema string) (Versions, error) {
	v := Versions{Database: schema}
	files, err := source(db.Dialect, schema)
	if err != nil {
		return v, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return v, err
	}
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return v, fmt.Errorf("migration %s: %w", name, err)
		}
		v.Build = max(v.Build, n)
	}
	if v.At, err = current(ctx, db); err != nil {
		return v, fmt.Errorf("version of %s: %w", schema, err)
	}
	return v, nil
}

// Check fails with ErrVersion, and the command that mends it, unless the versions are equal.
func Check(ctx context.Context, db *DB, schema string) error {
	v, err := Status(ctx, db, schema)
	if err != nil {
		return Classify(err)
	}
	if v.At == v.Build {
		return nil
	}
	mend := "run `millrace migrate up`"
	if v.At > v.Build {
		mend = "start a newer build, or run `millrace migrate down` with it"
	}
	return ErrVersion.Because(fmt.Errorf("database %s is at version %d, this build needs %d: %s", schema, v.At, v.Build, mend))
}

// CheckAtLeast fails with ErrVersion, and the command that mends it, when a database is below a version. One
// that is above it passes, whatever this build needs: it is for readers of tables that later migrations leave alone.
func CheckAtLeast(ctx context.Context, db *DB, schema string, version int64) error {
	at, err := current(ctx, db)
	if err != nil {
		return Classify(fmt.Errorf("version of %s: %w", schema, err))
	}
	if at >= version {
		return nil
	}
	return ErrVersion.Because(fmt.Errorf("database %s is at version %d, and what is read there is of version %d: run `millrace migrate up`", schema, at, version))
}

// current reads goose's own table; a database without it is at version 0.
func current(ctx context.Context, db *DB) (int64, error) {
	exists := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'"
	if db.Dialect == Postgres {
		exists = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'goose_db_version'"
	}
	var n, version int64
	if err := db.Read.GetContext(ctx, &n, exists); err != nil || n == 0 {
		return 0, err
	}
	err := db.Read.GetContext(ctx, &version, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied")
	return version, err
}

func provider(ctx context.Context, db *DB, schema string, create bool) (*goose.Provider, error) {
	files, err := source(db.Dialect, schema)
	if err != nil {
		return nil, err
	}
	dialect := goose.DialectSQLite3
	if db.Dialect == Postgres {
		dialect = goose.DialectPostgres
		if create {
			if _, err := db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS "`+db.Name+`"`); err != nil {
				return nil, fmt.Errorf("create schema %s: %w", db.Name, Classify(err))
			}
		}
	}
	return goose.NewProvider(dialect, db.DB.DB, files)
}

func source(d Dialect, schema string) (fs.FS, error) {
	return fs.Sub(migrations.Files, d.String()+"/"+schema)
}
