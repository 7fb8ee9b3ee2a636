package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/adapters/sqldb"
)

// loader reads rows of one kind by key, locked until the end of the transaction, for all members of a batch at
// once: what GraphQL servers call a data loader. Keys of rows that do not exist are missing in what is found.
//
// A member asks by get while it runs. What has been read it is given. What has not is requested, and the member
// gets errRerun instead: it is to stop. When all members have run, one round trip reads what all of them have
// requested (batch.load), and those that were stopped are run again from their beginning, in their order
// (batch.decide). A member that has to see rows of one kind before it knows which of another it needs is run once
// more for each.
//
// To run a member again is safe because its function has no effect outside of its Tx, which every service's Work
// demands (for instance app/payment.Work), and because a unit keeps what it stages to itself until it has
// succeeded: what a run that was stopped has staged is thrown away with its unit.
//
// Members keep their order where they touch the same rows. Whoever is stopped blocks the rows that it has asked
// for until it runs again: a member behind it that asks for one of them is stopped too. Whoever succeeds puts what
// it has written into the cache, where the members behind it find it.
//
// Most messages need rows of their own order only. A store names the loaders of those (byOrder), and they are
// read in one round trip with the inbox, before anybody runs: then nobody is stopped.
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

// errRerun stops a member: rows that it asks for are not read yet, or are blocked. It never leaves a batch:
// whatever the member makes of it, it is run again.
var errRerun = errors.New("not read yet")

// rowCache is what a batch has of a loader's rows.
type rowCache[K comparable, R any] struct {
	loader    *loader[K, R]
	rows      map[K]R
	requested map[K]bool // by a get or a prefetch; or there by a put
	missing   []K        // requested, and not read yet
	blocked   map[K]bool // by a member that was stopped
}

// cache is a rowCache of any loader.
type cache interface {
	// load gives the statements that read what is missing, and a function that takes in what they have found. It
	// is nil when nothing is missing. From here on nothing is blocked: members run again.
	load(b *batch) (name string, statements []sqldb.Statement, fill func())
}

// of gives the loader's cache of a batch.
func (l *loader[K, R]) of(b *batch) *rowCache[K, R] {
	for _, c := range b.caches { // a handful
		if c, ok := c.(*rowCache[K, R]); ok && c.loader == l {
			return c
		}
	}
	c := &rowCache[K, R]{loader: l, rows: map[K]R{}, requested: map[K]bool{}, blocked: map[K]bool{}}
	b.caches = append(b.caches, c)
	return c
}

// request lets a row be read by the next load, unless it was requested before. It says whether it was not.
func (c *rowCache[K, R]) request(key K) bool {
	if c.requested[key] {
		return false
	}
	c.requested[key] = true
	c.missing = append(c.missing, key)
	return true
}

// get gives those of the rows that exist, as the members before this one have left them. It fails with errRerun
// when one of them is not read yet, or blocked.
func (l *loader[K, R]) get(u *unit, keys ...K) (map[K]R, error) {
	c := l.of(u.batch)
	found := make(map[K]R, len(keys))
	for _, key := range keys {
		u.blocks = append(u.blocks, func() { c.blocked[key] = true })
		if c.request(key) {
			c.blocked[key] = true
		}
		if c.blocked[key] {
			u.mustRerun = true
		}
		if row, ok := c.rows[key]; ok {
			found[key] = row
		}
	}
	if u.mustRerun {
		return nil, errRerun
	}
	return found, nil
}

// put shows the members behind this one what it has made of a row, once it has succeeded.
func (l *loader[K, R]) put(u *unit, key K, row R) {
	c := l.of(u.batch)
	u.puts = append(u.puts, func() { c.rows[key], c.requested[key] = row, true })
}

// prefetch is a loader of rows that a message's order has, which are read before a member asks for them.
type prefetch interface {
	request(b *batch, orderID string)
}

// byOrder prefetches the rows of a loader by order id.
type byOrder[R any] struct{ *loader[string, R] }

func (l byOrder[R]) request(b *batch, orderID string) { l.of(b).request(orderID) }

func (c *rowCache[K, R]) load(b *batch) (name string, statements []sqldb.Statement, fill func()) {
	clear(c.blocked)
	if len(c.missing) == 0 {
		return "", nil, nil
	}
	r := c.loader.read(b, c.missing)
	c.missing = nil
	return c.loader.name, r.statements, func() {
		for key, row := range r.found() {
			c.rows[key] = row
		}
	}
}

// load reads what the members have requested, in the order in which they did, behind the statements given, whose
// results it gives. All of it is one round trip.
func (b *batch) load(before ...sqldb.Statement) ([]sqldb.Result, error) {
	statements := before
	var names []string
	var fills []func()
	for _, c := range b.caches {
		if name, more, fill := c.load(b); fill != nil {
			statements = append(statements, more...)
			names, fills = append(names, name), append(fills, fill)
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
	for _, fill := range fills {
		fill()
	}
	return results[:len(before)], nil
}

// among is the condition that a text column is in a set, and set the parameter for it.
func (b *batch) among(column string) string { return b.core.DB.Dialect.Among(column, "text") }

func (b *batch) set(keys []string) any { return sqldb.Set(b.core.DB.Dialect, keys) }

// rows runs a SELECT of the transaction.
func (b *batch) rows(dest any, query string, args ...any) error {
	return b.tx.SelectContext(b.ctx, dest, query, args...)
}
