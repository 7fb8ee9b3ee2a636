package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/adapters/sqldb"
)

// loader reads rows of one kind by key, locked until the end of the transaction, for all members
// of a batch at once. Keys of rows that do not exist are missing in what is found.
type loader[K comparable, R any] struct {
	name string // for errors
	read func(b *batch, keys []K) reading[K, R]
}

// reading is how rows are read: by statements that are sent together with those of other loaders, and what
// they have found when all have been answered.
type reading[K comparable, R any] struct {
	statements []sqldb.Statement
	found      func() map[K]R
}

// byKey is a reading by one statement that fills rows.
func byKey[K comparable, R any](rows *[]R, key func(R) K, query string, args ...any) reading[K, R] {
	return reading[K, R]{
		statements: []sqldb.Statement{{Query: query, Args: args, Into: rows}},
		found: func() map[K]R {
			all := make(map[K]R, len(*rows))
			for _, r := range *rows {
				all[key(r)] = r
			}
			return all
		},
	}
}

// errLater: rows that a unit asks for are not read yet. It never leaves a batch: whatever a unit
// makes of it, it is run again.
var errLater = errors.New("not read yet")

// gatherer knows what the members of a batch have asked for.
type gatherer interface {
	// ask gives the statements that read it, if there is any, and what to do when they have been answered.
	ask(b *batch) (name string, statements []sqldb.Statement, learn func())
}

// known is what a batch knows of a loader's rows.
type known[K comparable, R any] struct {
	loader *loader[K, R]
	rows   map[K]R
	asked  map[K]bool // those that were read, or are there by a member's writing
	want   []K
	held   map[K]bool // a member that touches them has not ended: those behind it wait
}

func (l *loader[K, R]) of(b *batch) *known[K, R] {
	for _, k := range b.known { // a handful
		if k, ok := k.(*known[K, R]); ok && k.loader == l {
			return k
		}
	}
	k := &known[K, R]{loader: l, rows: map[K]R{}, asked: map[K]bool{}, held: map[K]bool{}}
	b.known = append(b.known, k)
	return k
}

// get gives those of the rows that exist, as the members before this one have left them. It fails
// with errLater.
func (l *loader[K, R]) get(u *unit, keys ...K) (map[K]R, error) {
	k := l.of(u.batch)
	found := make(map[K]R, len(keys))
	for _, key := range keys {
		u.touched = append(u.touched, func() { k.held[key] = true })
		if !k.asked[key] {
			k.asked[key] = true
			k.want = append(k.want, key)
			k.held[key] = true
		}
		if k.held[key] {
			u.later = true
		}
		if row, ok := k.rows[key]; ok {
			found[key] = row
		}
	}
	if u.later {
		return nil, errLater
	}
	return found, nil
}

// expected is a loader of rows that a message's order has. They are read together with the inbox's answer, and
// mostly nothing else need be read.
type expected interface {
	expect(b *batch, orderID string)
}

// byOrder are the rows that a loader by order id has of one.
type byOrder[R any] struct{ *loader[string, R] }

// expect asks for them, unless a member has already.
func (l byOrder[R]) expect(b *batch, orderID string) {
	if k := l.of(b); !k.asked[orderID] {
		k.asked[orderID] = true
		k.want = append(k.want, orderID)
	}
}

// put tells the members behind this one what it has made of a row, once it has succeeded.
func (l *loader[K, R]) put(u *unit, key K, row R) {
	k := l.of(u.batch)
	u.learned = append(u.learned, func() { k.rows[key], k.asked[key] = row, true })
}

func (k *known[K, R]) ask(b *batch) (name string, statements []sqldb.Statement, learn func()) {
	clear(k.held)
	if len(k.want) == 0 {
		return "", nil, nil
	}
	r := k.loader.read(b, k.want)
	k.want = nil
	return k.loader.name, r.statements, func() {
		for key, row := range r.found() {
			k.rows[key] = row
		}
	}
}

// gather reads what the members have asked for, in the order in which they did, behind the statements given,
// whose results it gives. All of it is one round trip.
func (b *batch) gather(before ...sqldb.Statement) ([]sqldb.Result, error) {
	statements := before
	var names []string
	var learned []func()
	for _, k := range b.known {
		if name, more, learn := k.ask(b); learn != nil {
			statements = append(statements, more...)
			names, learned = append(names, name), append(learned, learn)
		}
	}
	if len(statements) == 0 {
		return nil, nil
	}
	results, err := b.tx.Batch(b.ctx, statements)
	if err != nil {
		if len(before) > 0 {
			names = slices.Insert(names, 0, "inbox")
		}
		return nil, fmt.Errorf("read %s: %w", strings.Join(names, ", "), err)
	}
	for _, learn := range learned {
		learn()
	}
	return results[:len(before)], nil
}

func (b *batch) among(column string) string { return among(b.core.DB.Dialect, column) }

func (b *batch) set(keys []string) any { return set(b.core.DB.Dialect, keys) }

// rows runs a SELECT of the transaction.
func (b *batch) rows(dest any, query string, args ...any) error {
	return b.tx.SelectContext(b.ctx, dest, query, args...)
}
