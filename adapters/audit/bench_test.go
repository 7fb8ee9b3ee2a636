package audit_test

import (
	"fmt"
	"hash/fnv"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/audit"
	"millrace/adapters/sqldb"
)

// BenchmarkVerify looks at many orders: one of every end, copied again and again with ids of their own.
//
//	VERIFY_ORDERS=100000 go test ./adapters/audit -run '^$' -bench Verify -benchtime 1x
//
// It leaves the provider's ledger out, which the copies are not in.
func BenchmarkVerify(b *testing.B) {
	orders := 1000
	if n, err := strconv.Atoi(os.Getenv("VERIFY_ORDERS")); err == nil {
		orders = n
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			dsn := os.Getenv("TEST_POSTGRES_DSN")
			if kind == "postgres" && dsn == "" {
				b.Skip("TEST_POSTGRES_DSN is not set")
			}
			w := newWorld(b, func(schema string) *sqldb.DB {
				if kind == "postgres" {
					return adaptertest.Postgres(b, dsn, schema)
				}
				return adaptertest.SQLite(b, schema)
			})
			w.full()
			w.multiply(orders / 4)
			auditor := w.auditor(func(c *audit.Config) { c.Ledger = nil })
			b.ResetTimer()
			for range b.N {
				report, err := auditor.Verify(b.Context(), true)
				w.must(err)
				if !report.OK || report.Orders.Total != orders/4*4 {
					b.Fatalf("%+v", report)
				}
			}
		})
	}
}

var (
	uuids    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	orderIDs = regexp.MustCompile(`ord_[0-9A-Za-z]+`)
)

// renamed gives every id in a text the one that it has in the n-th copy. The beginning of an id is
// the time at which it was made, as in life; so ids of one time lie close together.
func renamed(text string, n int) string {
	ending := func(id string, length int) string {
		h := fnv.New64a()
		fmt.Fprint(h, n, id)
		return id[:len(id)-length] + fmt.Sprintf("%016x", h.Sum64())[:length]
	}
	text = uuids.ReplaceAllStringFunc(text, func(id string) string { return ending(id, 12) })
	return orderIDs.ReplaceAllStringFunc(text, func(id string) string { return ending(id, 16) })
}

// multiply copies all that is there until there are n of each.
func (w *world) multiply(n int) {
	w.t.Helper()
	for db, tables := range map[*sqldb.DB][]string{
		w.dbs.Ordering:      {"orders", "order_items", "order_timeline", "idempotency_keys", "sagas", "saga_journal", "outbox", "inbox"},
		w.dbs.Payments:      {"payments", "intents", "outbox", "inbox"},
		w.dbs.Inventory:     {"reservations", "outbox", "inbox"},
		w.dbs.Notifications: {"notices", "intents", "inbox"},
	} {
		for _, table := range tables {
			w.copies(db, table, n)
		}
		w.exec(db, "ANALYZE")
	}
	w.exec(w.dbs.Inventory, "UPDATE stock SET on_hand = on_hand * ?, reserved = reserved * ?", n, n)
}

func (w *world) copies(db *sqldb.DB, table string, n int) {
	w.t.Helper()
	found, err := db.QueryxContext(w.t.Context(), "SELECT * FROM "+table)
	w.must(err)
	var columns []string
	var all [][]any
	for found.Next() {
		row, err := found.SliceScan()
		w.must(err)
		if columns == nil {
			columns, err = found.Columns()
			w.must(err)
		}
		all = append(all, row)
	}
	w.must(found.Err())
	w.must(found.Close())
	var kept []string
	filled := make([]bool, len(columns)) // by the database
	for i, c := range columns {
		if filled[i] = c == "seq" && table == "outbox" || c == "ended"; !filled[i] {
			kept = append(kept, c)
		}
	}
	const batch = 400
	var values []string
	var args []any
	flush := func() {
		if len(values) > 0 {
			w.exec(db, "INSERT INTO "+table+" ("+strings.Join(kept, ", ")+") VALUES "+strings.Join(values, ", "), args...)
		}
		values, args = values[:0], args[:0]
	}
	holes := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(kept)), ", ") + ")"
	for i := 1; i < n; i++ {
		for _, row := range all {
			for c, v := range row {
				if filled[c] {
					continue
				}
				switch v := v.(type) {
				case string:
					row := renamed(v, i)
					if table == "idempotency_keys" && columns[c] == "key" {
						row += strconv.Itoa(i)
					}
					args = append(args, row)
				case []byte:
					args = append(args, []byte(renamed(string(v), i)))
				default:
					args = append(args, v)
				}
			}
			if values = append(values, holes); len(values) == batch {
				flush()
			}
		}
	}
	flush()
}
