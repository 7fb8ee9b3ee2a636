package projections

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
)

const (
	// mostSuspects is how many rows are looked at again: when more differ, that is not because the live model is
	// a little behind.
	mostSuspects = 1000
	lookAgain    = 100 * time.Millisecond
)

// checksum is a sum over the SHA-256 of rows, so that it does not depend on their order.
type checksum [2]uint64

func (c *checksum) add(row string) {
	h := sha256.Sum256([]byte(row))
	c[0] += binary.BigEndian.Uint64(h[:8])
	c[1] += binary.BigEndian.Uint64(h[8:16])
}

func (c *checksum) take(row string) {
	h := sha256.Sum256([]byte(row))
	c[0] -= binary.BigEndian.Uint64(h[:8])
	c[1] -= binary.BigEndian.Uint64(h[8:16])
}

func (c *checksum) String() string { return fmt.Sprintf("%016x%016x", c[0], c[1]) }

// suspect is an order of which model and shadow said something else.
type suspect struct {
	order string
	key   []any
	live  string // its row, "" when there is none
	extra bool   // the shadow did not have it
}

// comparison is model and shadow side by side.
type comparison struct {
	*rebuild
	live, rebuilt checksum
	suspects      []suspect
	tooMany       bool   // to be looked at again: they are counted at once
	firstMissing  string // the oldest order that the live model did not have
}

// compare says in what the live model differs from its shadow, over the orders that the shadow has when it
// begins. The live model goes on meanwhile, and is behind the journal by the time that a message takes: what
// differs is looked at again before it counts.
func (r *rebuild) compare(ctx context.Context) error {
	c := &comparison{rebuild: r}
	if err := snapshot(ctx, c.DB, c.sideBySide); err != nil {
		return err
	}
	if err := c.holdWatermark(ctx); err != nil {
		return err
	}
	deadline := time.NewTimer(r.Patience)
	defer deadline.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for waiting := !c.tooMany; waiting && len(c.suspects) > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			waiting = false
		case <-again.C:
		}
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		if err := c.lookAgain(ctx); err != nil {
			return err
		}
	}
	for _, s := range c.suspects {
		c.guilty(s)
	}
	r.report.Live, r.report.Rebuilt = c.live.String(), c.rebuilt.String()
	r.report.Identical = c.live == c.rebuilt && r.report.Missing.N+r.report.Extra.N+r.report.Different.N == 0
	return nil
}

// holdWatermark takes the watermark back to the beginning when there is a gap below it, where the live model is never
// merely behind: from then on lists do not lack the orders of the gap, whether or not the model is exchanged.
// It comes up to the gap again, and not over it.
func (c *comparison) holdWatermark(ctx context.Context) error {
	if c.firstMissing == "" {
		return nil
	}
	_, err := c.DB.ExecContext(ctx, c.DB.Rebind("UPDATE read_models SET line = '' WHERE name = ? AND line > ?"), c.name, c.firstMissing)
	return err
}

// suspect remembers a row that differs, as long as there are few.
func (c *comparison) suspect(s suspect) {
	if c.tooMany {
		c.guilty(s)
		return
	}
	c.suspects = append(c.suspects, s)
	c.tooMany = len(c.suspects) > mostSuspects
}

// guilty counts a row that differs.
func (c *comparison) guilty(s suspect) {
	switch {
	case s.extra:
		c.report.Extra.Add(s.order)
	case s.live == "":
		c.report.Missing.Add(s.order)
	default:
		c.report.Different.Add(s.order)
	}
}

// snapshot runs fn on a transaction that sees one moment and may take its time.
func snapshot(ctx context.Context, db *sqldb.DB, fn func(context.Context, *sqlx.Tx) error) error {
	options := &sql.TxOptions{ReadOnly: true}
	if db.Dialect == sqldb.Postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.Read.BeginTxx(ctx, options)
	if err != nil {
		return err
	}
	if err := unhurried(ctx, db.Dialect, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return errors.Join(fn(ctx, tx), tx.Rollback())
}

// unhurried takes the limits of short transactions off one that is long.
func unhurried(ctx context.Context, d sqldb.Dialect, tx *sqlx.Tx) error {
	if d != sqldb.Postgres {
		return nil
	}
	for _, limit := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		if _, err := tx.ExecContext(ctx, "SET LOCAL "+limit+" = 0"); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) sideBySide(ctx context.Context, tx *sqlx.Tx) error {
	t := c.tables[0]
	n := len(t.columns)
	columns, beside := strings.Join(t.names(n, "s."), ", "), strings.Join(t.names(n, "l."), ", ")
	err := each(ctx, tx, "SELECT "+columns+", "+beside+" FROM "+t.shadow()+" s LEFT JOIN "+c.serving(t)+" l ON "+t.same("l", "s"), func(row []any) {
		made, live := text(row[:n]), ""
		if row[n] != nil {
			live = text(row[n:])
			c.live.add(live)
		} else if order := fmt.Sprint(row[t.key-1]); c.firstMissing == "" || order < c.firstMissing {
			c.firstMissing = order
		}
		c.rebuilt.add(made)
		c.report.Compared++
		if live != made {
			c.suspect(suspect{order: fmt.Sprint(row[t.key-1]), key: row[:t.key:t.key], live: live})
		}
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, "SELECT "+beside+" FROM "+c.serving(t)+" l LEFT JOIN "+t.shadow()+" s ON "+t.same("s", "l")+" WHERE s.order_id IS NULL", func(row []any) {
		live := text(row)
		c.live.add(live)
		c.suspect(suspect{order: fmt.Sprint(row[t.key-1]), key: row[:t.key:t.key], live: live, extra: true})
	})
	if err != nil || !c.sums {
		return err
	}
	return each(ctx, tx, notTheSum(c.serving(c.tables[1]), c.serving(t)), func(row []any) { c.report.Different.Add(fmt.Sprint(row[0]) + " " + fmt.Sprint(row[1])) })
}

// sumsOf is what the orders of daily_sales add up to, a row a day and currency, as that has its columns.
func sumsOf(orders string) string {
	return `SELECT day, currency, sum(CASE status WHEN 'CONFIRMED' THEN 1 ELSE 0 END) AS confirmed,
		sum(CASE status WHEN 'CONFIRMED' THEN total ELSE 0 END) AS revenue,
		sum(CASE status WHEN 'CONFIRMED' THEN 0 WHEN 'CANCELLED' THEN 0 ELSE 1 END) AS failed,
		sum(CASE status WHEN 'CANCELLED' THEN 1 ELSE 0 END) AS cancelled
		FROM ` + orders + ` o GROUP BY day, currency`
}

// notTheSum are the days that are not what their orders add up to.
func notTheSum(days, orders string) string {
	return `SELECT coalesce(d.day, f.day), coalesce(d.currency, f.currency) FROM ` + days + ` d
	FULL JOIN (` + sumsOf(orders) + `) f ON f.day = d.day AND f.currency = d.currency
	WHERE d.day IS NULL OR f.day IS NULL OR d.confirmed <> f.confirmed OR d.revenue <> f.revenue OR d.failed <> f.failed OR d.cancelled <> f.cancelled
	ORDER BY 1, 2`
}

// lookAgain keeps those of the suspects that still are.
func (c *comparison) lookAgain(ctx context.Context) error {
	t := c.tables[0]
	var still []suspect
	for _, s := range c.suspects {
		live, err := c.one(ctx, c.serving(t), s.key)
		if err != nil {
			return err
		}
		made, err := c.one(ctx, t.shadow(), s.key)
		if err != nil {
			return err
		}
		if s.live != "" {
			c.live.take(s.live)
		}
		innocent := live == made
		if s.live = live; live != "" && !(innocent && s.extra) { // an order that the shadow did not have is not of those compared
			c.live.add(live)
		}
		if !innocent {
			still = append(still, s)
		}
	}
	c.suspects = still
	return nil
}

// one gives a row's text, "" when there is none.
func (c *comparison) one(ctx context.Context, from string, key []any) (string, error) {
	t := c.tables[0]
	query := "SELECT " + strings.Join(t.names(len(t.columns), ""), ", ") + " FROM " + from + " o" +
		" WHERE " + strings.Join(t.names(t.key, ""), " = ? AND ") + " = ?"
	found := ""
	err := each(ctx, c.DB.Read, c.DB.Rebind(query), func(row []any) { found = text(row) }, key...)
	return found, err
}

// each reads the rows of a query one after the other.
func each(ctx context.Context, from sqlx.QueryerContext, query string, take func([]any), args ...any) error {
	rows, err := from.QueryxContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row, err := rows.SliceScan()
		if err != nil {
			return err
		}
		take(row)
	}
	return rows.Err()
}
