package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/sagas/replay"
)

// BenchmarkReplay replays many journals from a database, strictly: all that the corpus has that is an
// order's usual life, each again and again under an id and with a chain of its own.
//
//	REPLAY_SAGAS=100000 TEST_POSTGRES_DSN=… go test ./adapters/journal -run '^$' -bench Replay -benchtime 1x
//
// It reports the rate, the seconds, and the largest heap that was seen while it ran.
func BenchmarkReplay(b *testing.B) {
	sagas := 400
	if n, err := strconv.Atoi(os.Getenv("REPLAY_SAGAS")); err == nil {
		sagas = n
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			dsn := os.Getenv("TEST_POSTGRES_DSN")
			if kind == "postgres" && dsn == "" {
				b.Skip("TEST_POSTGRES_DSN is not set")
			}
			var db *sqldb.DB
			if kind == "postgres" {
				db = adaptertest.Postgres(b, dsn, "orders")
			} else {
				db = adaptertest.SQLite(b, "orders")
			}
			entries := filled(b, db, sagas)
			b.ResetTimer()
			for range b.N {
				s, err := journal.New(db, 0, time.Now).Histories(b.Context(), audit.Query{})
				if err != nil {
					b.Fatal(err)
				}
				heap := watchHeap()
				sum, err := replay.Run(s.All(), replay.Options{Parallel: 8}, func(replay.Result) error { return nil })
				b.ReportMetric(float64(heap())/(1<<20), "heap-MB")
				if err != nil || sum.OK != sagas || sum.Entries != entries || s.Sagas != sagas {
					b.Fatalf("%+v %v, of %d sagas with %d entries", sum, err, sagas, entries)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(sagas*b.N)/b.Elapsed().Seconds(), "sagas/s")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
			b.ReportMetric(float64(entries), "entries")
		})
	}
}

// watchHeap looks at the heap all the while; what it gives ends that and tells the most it was.
func watchHeap() func() uint64 {
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(50 * time.Millisecond)
		defer every.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-done:
				return
			case <-every.C:
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return most.Load()
	}
}

// lives are the stories of which most orders are.
var lives = []string{"confirmed", "confirmed", "declined", "outofstock", "v2confirmed", "v2inventorylate", "v2confirmed", "cancelledafterpayment"}

// filled writes n sagas with their journals and gives the number of entries.
func filled(b *testing.B, db *sqldb.DB, n int) (entries int) {
	b.Helper()
	var kept []replay.History
	for _, name := range lives {
		text, err := os.ReadFile(corpus + "/" + name + ".ndjson")
		if err != nil {
			b.Fatal(err)
		}
		bundle, err := replay.NewReader(bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		for h, err := range bundle.Histories() {
			if err != nil {
				b.Fatal(err)
			}
			kept = append(kept, h)
		}
	}
	const perTransaction = 500
	for from := 0; from < n; from += perTransaction {
		err := db.InTx(b.Context(), func(tx *sqlx.Tx) error {
			orders, sagas, journals := rows{}, rows{}, rows{}
			for i := from; i < min(from+perTransaction, n); i++ {
				h := renamed(b, kept[i%len(kept)], i)
				var state struct{ Step, Status, Reason string }
				if err := json.Unmarshal(h.Saga.State, &state); err != nil {
					return err
				}
				at := h.Entries[0].At
				orders.add(h.Saga.OrderID, "usr_001", state.Status, state.Reason, "LKR", 2400, "pm_card_ok", 1, at, at)
				sagas.add(h.Saga.OrderID, h.Saga.Definition, state.Step, string(h.Saga.State), h.Saga.Entries, h.Saga.Entries, h.Saga.Hash, 1, at, at, at)
				for _, e := range h.Entries {
					entries++
					journals.add(e.OrderID, e.Seq, e.At, e.MessageID, e.Type, string(e.Payload), e.Topic, e.Partition, e.Offset, e.Definition, e.Build,
						e.Outcome, string(e.Before), string(e.After), written(b, e.Sent), written(b, e.Timers), e.Error, e.Hash)
				}
			}
			for _, t := range []struct {
				into string
				rows rows
			}{
				{"orders (id, user_id, status, reason, currency, total, payment_method, version, created_at, updated_at)", orders},
				{"sagas (order_id, definition, step, state, version, journal_seq, journal_hash, timeline_seq, entered_at, created_at, updated_at)", sagas},
				{"saga_journal (order_id, seq, at, message_id, type, payload, topic, partition_no, offset_no, definition, build, outcome, state_before, state_after, sent, timers, error, hash)", journals},
			} {
				if err := t.rows.insert(b, tx, t.into); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := db.ExecContext(b.Context(), "ANALYZE"); err != nil {
		b.Fatal(err)
	}
	return entries
}

// renamed gives a history the id of the n-th order, and the ids and the chain that follow from it.
func renamed(b *testing.B, h replay.History, n int) replay.History {
	b.Helper()
	was, is := h.Saga.OrderID, fmt.Sprintf("ord_%012d", n)
	named := func(text json.RawMessage) json.RawMessage {
		return json.RawMessage(strings.ReplaceAll(string(text), was, is))
	}
	copied := replay.History{Saga: h.Saga}
	copied.Saga.OrderID, copied.Saga.State = is, named(h.Saga.State)
	var hash string
	for _, e := range h.Entries {
		e.OrderID, e.Payload, e.Before, e.After = is, named(e.Payload), named(e.Before), named(e.After)
		sent := make([]replay.Sent, len(e.Sent))
		for i, m := range e.Sent {
			m.Data = named(m.Data)
			sent[i] = m
		}
		e.Sent = sent
		var err error
		if hash, err = replay.Chain(hash, e); err != nil {
			b.Fatal(err)
		}
		e.Hash = hash
		copied.Entries = append(copied.Entries, e)
	}
	copied.Saga.Hash = hash
	return copied
}

func written(b *testing.B, v any) string {
	b.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// rows are those of one table.
type rows struct{ all [][]any }

func (r *rows) add(values ...any) { r.all = append(r.all, values) }

// insert writes them, as many at once as a statement has parameters for.
func (r *rows) insert(b *testing.B, tx *sqlx.Tx, into string) error {
	if len(r.all) == 0 {
		return nil
	}
	most := math.MaxInt16 / len(r.all[0])
	for from := 0; from < len(r.all); from += most {
		var args []any
		part := r.all[from:min(from+most, len(r.all))]
		for _, values := range part {
			args = append(args, values...)
		}
		holes := "(?" + strings.Repeat(", ?", len(r.all[0])-1) + ")"
		query := "INSERT INTO " + into + " VALUES " + holes + strings.Repeat(", "+holes, len(part)-1)
		if _, err := tx.ExecContext(b.Context(), tx.Rebind(query), args...); err != nil {
			return err
		}
	}
	return nil
}
