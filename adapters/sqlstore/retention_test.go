package sqlstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

func TestPurgesDeleteWhatIsOldAndNothingElse(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		const old = 2*purgeBatch + 7 // more than one batch
		db := open(t)
		core := newCore(db)
		ago := func(age time.Duration) int64 { return -age.Microseconds() }
		add := func(n int, prefix, outcome string, age time.Duration) {
			numbers := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
			for _, insert := range []string{
				fmt.Sprintf("INSERT INTO inbox (consumer, message_id, outcome, handled_at) %sSELECT 'saga', '%s' || i, '%s', %s FROM n", numbers, prefix, outcome, db.Dialect.NowPlus("?")),
				fmt.Sprintf("INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, order_id, created_at) %sSELECT 'usr_1', '%s' || i, '%s', 202, '{}', 'ord_1', %s FROM n", numbers, prefix, outcome, db.Dialect.NowPlus("?")),
			} {
				if _, err := db.ExecContext(t.Context(), db.Rebind(insert), n, ago(age)); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(old, "old", "done", 48*time.Hour)
		add(5, "new", "done", 46*time.Hour)
		add(3, "dead", "dead", 1000*time.Hour)
		add(2, "parked", "parked", 1000*time.Hour)

		handled, err := core.PurgeInbox(t.Context(), 47*time.Hour)
		if left := count(t, db, "SELECT count(*) FROM inbox"); err != nil || handled != old || left != 5+3+2 {
			t.Errorf("%d inbox rows went, %v, and %d are left", handled, err, left)
		}
		if left := count(t, db, "SELECT count(*) FROM inbox WHERE outcome <> 'done'"); left != 5 {
			t.Errorf("of the rows of dead letters %d are left, not 5", left)
		}
		replies, err := core.PurgeIdempotencyKeys(t.Context(), 47*time.Hour)
		if left := count(t, db, "SELECT count(*) FROM idempotency_keys"); err != nil || replies != old+5 || left != 5 {
			t.Errorf("%d replies went, %v, and %d are left", replies, err, left)
		}
	})
}

// A purge that read the whole table for each batch would hold everybody up while it does.
func TestPurgesFindOldRowsByIndex(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		for _, a := range []aging{inboxRows, idempotencyRows} {
			plan := planOf(t, db, a.query(db.Dialect), 0, 1)
			want := "Index Cond: (" + a.column + " <"
			if db.Dialect == sqldb.SQLite {
				want = "INDEX " + a.table + "_" + a.column + " (" + a.column + "<?)"
			}
			if !strings.Contains(plan, want) {
				t.Errorf("%s is not found by its index:\n%s", a.table, plan)
			}
		}
	})
}

// What has ended stays in the tables for ever; whoever asks for what is open must not read it.
func TestWhatIsOpenAndWhatHasEndedIsFoundByIndex(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		type args = []any
		for _, a := range []struct {
			name, query, index string
			args               args
		}{
			{"stranded sagas", strandedQuery(2), "sagas_open", args{1, 2}},
			{"open sagas", openSagas(db.Dialect), "sagas_open", args{0}},
			{"orders under way", ordersUnderWay, "orders_open", args{"2026-01-02T15:04:05Z", 1}},
			{"a page of failed orders", strings.Replace(ofAll, "{1}", " AND o.ended = ?", 1), "orders_ended", args{"FAILED", 1}},
		} {
			if plan := planOf(t, db, a.query, a.args...); !strings.Contains(plan, a.index) {
				t.Errorf("%s are not found by %s:\n%s", a.name, a.index, plan)
			}
		}
	})
}

// The plan of a prepared statement may be as old as its connection. One that settles acts must go by their ids
// whatever the tables held when it was made.
func TestAnActIsSettledByItsID(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		now := time.Now().UTC()
		for _, a := range []struct {
			table *table
			row   []any
		}{
			{intentDone, []any{"in_1", 1, now}},
			{intentClosed, []any{"in_1", now}},
		} {
			statement := a.table.statements(db.Dialect, [][]any{a.row})[0]
			plan := planOf(t, db, statement.Query, statement.Args...)
			if strings.Contains(plan, "intents_due") || !strings.Contains(plan, "intents_pkey") && !strings.Contains(plan, "(id=?)") {
				t.Errorf("acts are not settled by id:\n%s", plan)
			}
		}
	})
}

// planOf is how the database would run a query.
func planOf(t *testing.T, db *sqldb.DB, query string, args ...any) string {
	t.Helper()
	explain, columns := "EXPLAIN QUERY PLAN ", 4
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if db.Dialect == sqldb.Postgres {
		explain, columns = "EXPLAIN ", 1
		if _, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil { // an empty table is read as a whole otherwise
			t.Fatal(err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), tx.Rebind(explain+query), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		line, into := make([]string, columns), make([]any, columns)
		for i := range line {
			into[i] = &line[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, line[columns-1])
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
