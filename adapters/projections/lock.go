package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

// lock is the right to rebuild one read model of one database. It goes with the process or with its
// connection, however they end.
type lock struct {
	conn *sqlx.Conn // PostgreSQL: the session that holds an advisory lock, on which the exchange is done
	key  int64
	file *os.File // SQLite
}

func takeLock(ctx context.Context, db *sqldb.DB, model string) (*lock, error) {
	if db.Dialect == sqldb.SQLite {
		return lockFile(db.Name+"."+model+".rebuild", model)
	}
	l := &lock{key: sqldb.AdvisoryKey("millrace rebuild " + db.Name + " " + model)}
	var err error
	if l.conn, err = db.Connx(ctx); err != nil {
		return nil, sqldb.Classify(err)
	}
	ours, err := l.try(ctx)
	if err != nil {
		return nil, errors.Join(sqldb.Classify(err), l.conn.Close())
	}
	if !ours {
		return nil, errors.Join(app.ErrRebuilding.Because(fmt.Errorf("%s of the schema %s: wait until that has ended", model, db.Name)), l.conn.Close())
	}
	return l, nil
}

// try asks for the advisory lock for a moment: the server may not have noticed yet that whoever held it is dead.
func (l *lock) try(ctx context.Context) (ours bool, err error) {
	const tries, between = 6, 100 * time.Millisecond
	for n := 1; ; n++ {
		if err := l.conn.GetContext(ctx, &ours, "SELECT pg_try_advisory_lock($1)", l.key); err != nil || ours || n == tries {
			return ours, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(between):
		}
	}
}

// lockFile holds a file beside the database. It stays when it is let go: who removes it may remove that of
// somebody who has just come.
func lockFile(path, model string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the rebuild of %s: %w", model, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(file)
		return nil, errors.Join(app.ErrRebuilding.Because(fmt.Errorf("%s, by process %s: wait until that has ended", model, strings.TrimSpace(string(holder)))), file.Close())
	}
	_ = file.Truncate(0) // who holds it is for the message alone
	_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &lock{file: file}, nil
}

func (l *lock) release(ctx context.Context) error {
	if l.file != nil { // closing it is not enough: a child that is just being started has it, too
		return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
	}
	_, err := l.conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", l.key)
	return errors.Join(sqldb.Classify(err), l.conn.Close())
}
