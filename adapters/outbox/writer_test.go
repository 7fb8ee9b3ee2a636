package outbox_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

func TestRecordsAreWrittenInTheirOrderHoweverMany(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
		records := spread(5_000) // more parameters than one statement of SQLite may have
		for i := range records {
			records[i].Topic = fmt.Sprintf("topic.%d", i%3)
			records[i].CreatedAt = at.In(time.FixedZone("elsewhere", 19800))
		}
		records[7].Payload, records[7].Headers = nil, nil
		write(t, db, records...)
		var rows []struct {
			ID, Topic, Headers string
			Aggregate          string `db:"aggregate_id"`
			Type               string `db:"event_type"`
			Payload            []byte
			CreatedAt          time.Time  `db:"created_at"`
			PublishedAt        *time.Time `db:"published_at"`
		}
		must(t, db.SelectContext(t.Context(), &rows, `SELECT id, topic, headers, aggregate_id, event_type, payload, created_at, published_at
			FROM outbox ORDER BY seq`))
		if len(rows) != len(records) {
			t.Fatalf("%d rows, want %d", len(rows), len(records))
		}
		for i, row := range rows {
			want := records[i]
			headers := fmt.Sprintf(`{"correlationId":%q}`, want.AggregateID)
			if i == 7 {
				headers = "{}"
			}
			if row.ID != want.ID || row.Topic != want.Topic || row.Aggregate != want.AggregateID || row.Type != want.EventType ||
				string(row.Payload) != string(want.Payload) || row.Headers != headers || !row.CreatedAt.Equal(at) || row.PublishedAt != nil {
				t.Fatalf("row %d is %+v, want %+v", i, row, want)
			}
		}
	})
}

func TestWhatIsRolledBackWasNeverWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		changed := errors.New("changed my mind")
		err := db.InTx(t.Context(), func(tx *sqlx.Tx) error {
			must(t, outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, spread(3)))
			return changed
		})
		if got := status(t, db); !errors.Is(err, changed) || got != (outbox.State{}) {
			t.Errorf("after %v: %+v", err, got)
		}
	})
}

func TestARecordThatCannotBeSentIsNotWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		add := func(records ...outbox.Record) error {
			return db.InTx(t.Context(), func(tx *sqlx.Tx) error {
				return outbox.NewWriter(db.Dialect, quiet).Append(t.Context(), tx, records)
			})
		}
		for name, spoil := range map[string]func(*outbox.Record){
			"id":        func(r *outbox.Record) { r.ID = "" },
			"aggregate": func(r *outbox.Record) { r.AggregateID = "" },
			"type":      func(r *outbox.Record) { r.EventType = "" },
			"topic":     func(r *outbox.Record) { r.Topic = "" },
			"time":      func(r *outbox.Record) { r.CreatedAt = time.Time{} },
		} {
			r := record("ord_1", "x")
			spoil(&r)
			if err := add(record("ord_1", "y"), r); !errors.Is(err, outbox.ErrIncomplete) {
				t.Errorf("without its %s: %v", name, err)
			}
		}
		r := record("ord_1", "x")
		must(t, add(r))
		if err := add(r); !errors.Is(err, sqldb.ErrTaken) {
			t.Errorf("the same id twice: %v", err)
		}
		must(t, add()) // nothing is nothing
		if got := status(t, db); got.Pending != 1 {
			t.Errorf("%+v, want one", got)
		}
	})
}
