package sqlstore

import "errors"

// loader reads rows of one kind by key, locked until the end of the transaction, for all members
// of a batch at once. Keys of rows that do not exist are missing in what read gives.
type loader[K comparable, R any] struct {
	read func(b *batch, keys []K) (map[K]R, error)
}

// errLater: rows that a unit asks for are not read yet. It never leaves a batch: whatever a unit
// makes of it, it is run again.
var errLater = errors.New("not read yet")

// gatherer reads what the members of a batch have asked for.
type gatherer interface{ gather(b *batch) error }

// known is what a batch knows of a loader's rows.
type known[K comparable, R any] struct {
	loader *loader[K, R]
	rows   map[K]R
	asked  map[K]bool // those that were read, or are there by a member's writing
	want   []K
	held   map[K]bool // a member that touches them has not ended: those behind it wait
}

func (l *loader[K, R]) of(b *batch) *known[K, R] {
	if k, ok := b.known[l].(*known[K, R]); ok {
		return k
	}
	k := &known[K, R]{loader: l, rows: map[K]R{}, asked: map[K]bool{}, held: map[K]bool{}}
	b.known[l] = k
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

// put tells the members behind this one what it has made of a row, once it has succeeded.
func (l *loader[K, R]) put(u *unit, key K, row R) {
	k := l.of(u.batch)
	u.learned = append(u.learned, func() { k.rows[key], k.asked[key] = row, true })
}

func (k *known[K, R]) gather(b *batch) error {
	clear(k.held)
	if len(k.want) == 0 {
		return nil
	}
	rows, err := k.loader.read(b, k.want)
	if err != nil {
		return err
	}
	for key, row := range rows {
		k.rows[key] = row
	}
	k.want = nil
	return nil
}

func (b *batch) among(column string) string { return among(b.core.DB.Dialect, column) }

func (b *batch) set(keys []string) any { return set(b.core.DB.Dialect, keys) }

// rows runs a SELECT of the transaction.
func (b *batch) rows(dest any, query string, args ...any) error {
	return b.tx.SelectContext(b.ctx, dest, b.tx.Rebind(query), args...)
}
