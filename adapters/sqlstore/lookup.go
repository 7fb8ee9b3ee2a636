package sqlstore

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"millrace/adapters/sqldb"
)

// lookupTime is how long one query for many may take. Each caller's own deadline holds as well.
const lookupTime = 10 * time.Second

// lookup reads single rows outside of any transaction, for many callers at once: those who ask while a
// query is under way are answered by the next one together. Nobody waits for company that is not about to ask.
type lookup[K comparable, R any] struct {
	read func(ctx context.Context, keys []K) (map[K]R, error)

	mu      sync.Mutex
	waiting []*question[K, R]
	running bool
}

// question is what one caller asks.
type question[K comparable, R any] struct {
	ctx  context.Context
	key  K
	done chan struct{}

	// Written before done is closed.
	row   R
	found bool
	err   error
}

// get gives one row as it is after the call began, and whether there is one.
func (l *lookup[K, R]) get(ctx context.Context, key K) (R, bool, error) {
	q := &question[K, R]{ctx: ctx, key: key, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, q)
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		go l.run()
	}
	select {
	case <-q.done:
		return q.row, q.found, q.err
	case <-ctx.Done():
		var none R
		return none, false, ctx.Err()
	}
}

func (l *lookup[K, R]) run() {
	for {
		runtime.Gosched() // whoever is about to ask does so first
		l.mu.Lock()
		asked := l.waiting
		l.waiting = nil
		l.running = len(asked) > 0
		l.mu.Unlock()
		if len(asked) == 0 {
			return
		}
		l.answer(asked)
	}
}

// answer reads what is asked for. The first caller's trace has the query, but not its end: the
// others need the answer too.
func (l *lookup[K, R]) answer(asked []*question[K, R]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(asked[0].ctx), lookupTime)
	defer cancel()
	keys := make([]K, 0, len(asked))
	seen := make(map[K]bool, len(asked))
	for _, q := range asked {
		if !seen[q.key] {
			seen[q.key] = true
			keys = append(keys, q.key)
		}
	}
	rows, err := l.read(ctx, keys)
	for _, q := range asked {
		q.err = err
		q.row, q.found = rows[q.key]
		close(q.done)
	}
}

// selectByKeys runs the query of a lookup: its columns and table, and then the rows whose column is one of keys.
func selectByKeys[R any](ctx context.Context, db *sqldb.DB, columns, column string, keys []string) ([]R, error) {
	var rows []R
	query := db.Read.Rebind(columns + " WHERE " + db.Dialect.Among(column, "text"))
	if err := db.Read.SelectContext(ctx, &rows, query, sqldb.Set(db.Dialect, keys)); err != nil {
		return nil, fmt.Errorf("read by %s: %w", column, sqldb.Classify(err))
	}
	return rows, nil
}
