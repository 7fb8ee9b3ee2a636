package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"millrace/adapters/config"
	"millrace/adapters/sqldb"
	"millrace/migrations"
	"millrace/ports/cli"
)

// state is the stored state on which a verb acts, with the settings in force: that in a data folder, or what
// the settings name.
type state struct {
	*config.Config

	data string // "" for what the settings name, where they name something
}

func stateOf(w cli.Where) (state, error) {
	c, err := config.Load(".", os.Environ())
	return state{c, w.Data}, err
}

// onPostgres says whether the state is in PostgreSQL: the settings name one, and no folder was asked for.
func (s state) onPostgres() bool { return s.data == "" && s.Postgres.Host != "" }

func (s state) folder() string { return cmp.Or(s.data, ".millrace") }

// open opens one schema for a verb that reads or changes what is there.
func (s state) open(ctx context.Context, schema string, access cli.Access) (*sqldb.DB, error) {
	if access == cli.ToChange {
		return s.openToChange(ctx, schema)
	}
	return s.openToRead(ctx, schema)
}

// openToRead opens one schema for reading alone. A folder that is not there is an error: a verb that reads
// must not make one.
func (s state) openToRead(_ context.Context, schema string) (*sqldb.DB, error) {
	if s.onPostgres() {
		postgres := postgresConfig(s.Config)
		postgres.ReadOnly = true
		return sqldb.OpenPostgres(postgres, schema)
	}
	path := databaseFile(s.folder(), schema)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no data in %s: run `millrace up` first, name its folder with --data, or set POSTGRES_HOST", s.folder())
	}
	return sqldb.OpenSQLiteReadOnly(path), nil
}

// openToChange opens one schema for a verb that changes what is there, and makes nothing that is not.
func (s state) openToChange(ctx context.Context, schema string) (*sqldb.DB, error) {
	there, err := s.openToRead(ctx, schema)
	if err != nil {
		return nil, err
	}
	if err := there.Close(); err != nil {
		return nil, err
	}
	return s.openOrMake(ctx, schema)
}

// openOrMake opens one schema, and makes the folder and the file for it where they are missing.
func (s state) openOrMake(ctx context.Context, schema string) (*sqldb.DB, error) {
	if s.onPostgres() {
		return sqldb.OpenPostgres(postgresConfig(s.Config), schema)
	}
	path := databaseFile(s.folder(), schema)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return sqldb.OpenSQLite(ctx, path)
}

// openToExamine opens one schema as the services have it, where that makes nothing: a session that may only read says
// of PostgreSQL that nothing can be written.
func (s state) openToExamine(ctx context.Context, schema string) (*sqldb.DB, error) {
	if s.onPostgres() {
		return s.openOrMake(ctx, schema)
	}
	return s.openToRead(ctx, schema)
}

// databases are those of all services, by schema.
type databases map[string]*sqldb.DB

// openAll opens the database of every schema, or none.
func openAll(ctx context.Context, open func(ctx context.Context, schema string) (*sqldb.DB, error)) (databases, error) {
	all := databases{}
	for _, schema := range migrations.Schemas {
		db, err := open(ctx, schema)
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all[schema] = db
	}
	return all, nil
}

// openCurrent opens the databases of all services, which must be at this build's version.
func openCurrent(ctx context.Context, w cli.Where, access cli.Access) (state, databases, error) {
	s, err := stateOf(w)
	if err != nil {
		return s, nil, err
	}
	all, err := openAll(ctx, func(ctx context.Context, schema string) (*sqldb.DB, error) { return s.open(ctx, schema, access) })
	if err != nil {
		return s, nil, err
	}
	if err := all.check(ctx); err != nil {
		return s, nil, errors.Join(err, all.close())
	}
	return s, all, nil
}

// check fails with the command that mends it when one is at another version than this build.
func (d databases) check(ctx context.Context) error {
	for _, schema := range migrations.Schemas {
		if err := sqldb.Check(ctx, d[schema], schema); err != nil {
			return err
		}
	}
	return nil
}

func (d databases) close() error {
	var all []error
	for _, db := range d {
		all = append(all, db.Close())
	}
	return errors.Join(all...)
}
