package audit_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
	"context"

	"millrace/adapters/audit"
	"millrace/adapters/sqldb"
	"millrace/adapters/adaptertest"
)

func TestPerf(t *testing.T) {
	if os.Getenv("PERF") == "" { t.Skip() }
	open := func(schema string) *sqldb.DB { return adaptertest.SQLite(t, schema) }
	if d := os.Getenv("TEST_POSTGRES_DSN"); d != "" { open = func(schema string) *sqldb.DB { return adaptertest.Postgres(t, d, schema) } }
	w := newWorld(t, open)
	o := w.full()
	_ = o
	n := 24999
	pg := w.dbs.Ordering.Dialect == sqldb.Postgres
	clone := func(db *sqldb.DB, table, cols string, exprs string) {
		series := "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < ?)"
		w.exec(db, fmt.Sprintf("INSERT INTO %s (%s) %s SELECT %s FROM g CROSS JOIN %s t", table, cols, series, exprs, table), n)
	}
	if pg { clone = func(db *sqldb.DB, table, cols string, exprs string) {
		w.exec(db, "SET statement_timeout=0")
		w.exec(db, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(1, ?) g(n) CROSS JOIN %s t", table, cols, exprs, table), n)
	} }
	N := "CAST(g.n AS TEXT)"
	id := "order_id || "+N
	out := func(db *sqldb.DB) { clone(db, "outbox", "id, aggregate_id, event_type, payload, headers, topic, created_at, published_at", N+"||id, aggregate_id||"+N+", event_type, payload, headers, topic, created_at, published_at")
		clone(db, "inbox", "consumer, message_id, outcome, handled_at", "consumer, "+N+"||message_id, outcome, handled_at") }
	d := w.dbs
	clone(d.Ordering, "orders", "id, user_id, status, reason, currency, total, payment_method, undoing, cancel_requested, version, created_at, updated_at", "id||"+N+", user_id, status, reason, currency, total, payment_method, undoing, cancel_requested, version, created_at, updated_at")
	clone(d.Ordering, "order_items", "order_id, line, sku, qty, price", id+", line, sku, qty, price")
	clone(d.Ordering, "order_timeline", "order_id, seq, at, event, status, event_id", id+", seq, at, event, status, "+N+"||event_id")
	clone(d.Ordering, "idempotency_keys", "user_id, key, request_hash, status, body, order_id, created_at", "user_id, key||'-'||"+N+", request_hash, status, body, "+id+", created_at")
	clone(d.Ordering, "sagas", "order_id, definition, step, state, version, journal_seq, journal_hash, timeline_seq, entered_at, created_at, updated_at", id+", definition, step, state, version, journal_seq, journal_hash, timeline_seq, entered_at, created_at, updated_at")
	clone(d.Ordering, "saga_journal", "order_id, seq, at, message_id, type, payload, topic, partition_no, offset_no, definition, build, outcome, state_before, state_after, sent, timers, error, hash", id+", seq, at, "+N+"||message_id, type, payload, topic, partition_no, offset_no, definition, build, outcome, state_before, state_after, replace(sent, '{\"id\":\"', '{\"id\":\"'||"+N+"), timers, error, hash")
	out(d.Ordering); out(d.Payments); out(d.Inventory)
	clone(d.Payments, "payments", "order_id, state, amount, currency, method, lines, provider_id, auth_code, reason, created_at, updated_at", id+", state, amount, currency, method, lines, provider_id, auth_code, reason, created_at, updated_at")
	ints := "id, order_id, kind, cause, trace_parent, state, version, attempts, due_at, last_error, created_at, updated_at"
	clone(d.Payments, "intents", ints, "order_id||"+N+"||':'||kind, order_id||"+N+", kind, cause, trace_parent, state, version, attempts, due_at, last_error, created_at, updated_at")
	clone(d.Notifications, "intents", ints, "order_id||"+N+"||':'||kind, order_id||"+N+", kind, cause, trace_parent, state, version, attempts, due_at, last_error, created_at, updated_at")
	clone(d.Inventory, "reservations", "order_id, state, lines, created_at, updated_at", id+", state, lines, created_at, updated_at")
	w.exec(d.Inventory, "UPDATE stock SET reserved = reserved * 25000, on_hand = 100000000")
	clone(d.Notifications, "notices", "order_id, user_id, status, total, currency, reason, created_at, sent_at", id+", user_id, status, total, currency, reason, created_at, sent_at")
	clone(d.Notifications, "inbox", "consumer, message_id, outcome, handled_at", "consumer, "+N+"||message_id, outcome, handled_at")
	if pg { for _, x := range []*sqldb.DB{d.Ordering,d.Payments,d.Inventory,d.Notifications} { w.exec(x, "ANALYZE") } }
	var size int64
	if !pg { fi, _ := os.Stat(d.Ordering.Name); size = fi.Size() }
	t.Log("built; ordering MB", size>>20)
	var base []audit.Movement
	w.must(audit.LedgerOnDisk("/nonexistent", time.Now)(t.Context(), func(audit.Movement) {}))
	a0 := w.auditor()
	w.must(a0.Ledger(t.Context(), func(m audit.Movement) { base = append(base, m) }))
	for range 1 {
		start := time.Now()
		r, err := w.auditor(func(c *audit.Config) {
			c.Ledger = func(_ context.Context, each func(audit.Movement)) error {
				for _, m := range base { each(m); for i := 1; i <= n; i++ { x := m; x.OrderID = fmt.Sprintf("%s%d", m.OrderID, i); each(x) } }
				return nil
			}
		}).Verify(t.Context(), true)
		w.must(err)
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		t.Log(time.Since(start), r.OK, r.Orders, "heap MB", ms.HeapAlloc>>20, "sys", ms.Sys>>20)
		for _, i := range r.Invariants { if !i.OK { t.Log(i.Name, i.Broken, i.Violations[0]) } }
	}
}
