package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
)

// Letters as operators are shown them: listed without their bytes, or one with everything that is known about it.

// listedRecord is a row of dead_letters as operators are shown it.
type listedRecord struct {
	letterRecord
	Parked int `db:"parked"`
}

func (r listedRecord) letter() deadletters.Letter {
	return deadletters.Letter{
		ID: r.ID, State: r.State, Version: r.Version, Service: r.Service, Consumer: r.Consumer, Handler: r.Handler, OrderID: r.OrderID,
		Type: r.Type, Reason: r.Reason, Redrives: r.Redrives, Attempts: r.Attempts, Position: r.Position, Parked: r.Parked,
		FirstAt: r.FirstAt.UTC(), LastAt: r.LastAt.UTC(),
	}
}

// listed leaves the bytes out. A parked message counts for the last dead letter in front of it.
const listed = `SELECT d.id, d.message_id, d.order_id, d.service, d.consumer, d.handler, d.type, d.topic, d.partition_no, d.offset_no,
		d.reason, d.error, d.attempts, d.first_at, d.last_at, d.state, d.version, d.position, d.redrives,
		(SELECT count(*) FROM dead_letters p WHERE d.order_id <> '' AND p.consumer = d.consumer AND p.order_id = d.order_id
			AND p.state = 'parked' AND p.position > d.position AND d.state IN ('waiting', 'redriving')
			AND NOT EXISTS (SELECT 1 FROM dead_letters w WHERE w.consumer = d.consumer AND w.order_id = d.order_id
				AND w.state IN ('waiting', 'redriving') AND w.position > d.position AND w.position < p.position)) AS parked
	FROM dead_letters d`

// List gives letters without their bytes, database by database.
func (l *Letters) List(ctx context.Context, f deadletters.Filter) ([]deadletters.Letter, error) {
	where, args := conditions(f)
	all := []deadletters.Letter{}
	for _, core := range l.cores {
		var rows []listedRecord
		db := core.DB.Read
		if err := db.SelectContext(ctx, &rows, db.Rebind(listed+where+" ORDER BY d.consumer, d.order_id, d.position, d.first_at, d.id"), args...); err != nil {
			return nil, fmt.Errorf("list dead letters: %w", sqldb.Classify(err))
		}
		for _, r := range rows {
			all = append(all, r.letter())
		}
	}
	return all, nil
}

func conditions(f deadletters.Filter) (string, []any) {
	var words []string
	var args []any
	for _, c := range []struct{ column, value string }{
		{"id", f.ID}, {"state", f.State}, {"service", f.Service}, {"handler", f.Handler},
		{"reason", f.Reason}, {"order_id", f.OrderID}, {"type", f.Type},
	} {
		if c.value != "" {
			words, args = append(words, "d."+c.column+" = ?"), append(args, c.value)
		}
	}
	if !f.Since.IsZero() {
		words, args = append(words, "d.last_at >= ?"), append(args, f.Since.UTC().Truncate(time.Microsecond))
	}
	if !f.Until.IsZero() {
		words, args = append(words, "d.last_at < ?"), append(args, f.Until.UTC().Truncate(time.Microsecond))
	}
	if len(words) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(words, " AND "), args
}

// Show gives everything about one letter. It fails with deadletters.ErrNoLetter.
func (l *Letters) Show(ctx context.Context, id string) (deadletters.Whole, error) {
	for _, core := range l.cores {
		var rows []letterRecord
		db := core.DB.Read
		if err := db.SelectContext(ctx, &rows, db.Rebind(letterColumns+" WHERE id = ?"), id); err != nil {
			return deadletters.Whole{}, fmt.Errorf("show dead letter: %w", sqldb.Classify(err))
		}
		if len(rows) > 0 {
			return show(ctx, core, rows[0])
		}
	}
	return deadletters.Whole{}, deadletters.ErrNoLetter
}

func show(ctx context.Context, core *Core, r letterRecord) (deadletters.Whole, error) {
	w := deadletters.Whole{
		Letter: listedRecord{letterRecord: r}.letter(), MessageID: r.MessageID, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Key: r.Key, Payload: r.Payload, Headers: map[string]string{}, Error: r.Error, Behind: []deadletters.Letter{}, Log: []deadletters.Line{},
	}
	if err := json.Unmarshal([]byte(r.Headers), &w.Headers); err != nil {
		w.Headers = map[string]string{"unreadable": r.Headers}
	}
	db := core.DB.Read
	var behind []listedRecord
	if err := db.SelectContext(ctx, &behind, db.Rebind(listed+" WHERE d.consumer = ? AND d.order_id = ? AND d.order_id <> '' AND d.position > ? AND d."+open+
		" ORDER BY d.position"), r.Consumer, r.OrderID, r.Position); err != nil {
		return w, fmt.Errorf("show what waits behind it: %w", sqldb.Classify(err))
	}
	for _, b := range behind {
		w.Behind = append(w.Behind, b.letter())
		if b.State == deadletters.Parked {
			w.Parked++
		}
	}
	var lines []struct {
		At     time.Time `db:"at"`
		Act    string    `db:"act"`
		Actor  string    `db:"actor"`
		Reason string    `db:"reason"`
	}
	if err := db.SelectContext(ctx, &lines, db.Rebind("SELECT at, act, actor, reason FROM dead_letter_log WHERE letter_id = ? ORDER BY version"), r.ID); err != nil {
		return w, fmt.Errorf("show its history: %w", sqldb.Classify(err))
	}
	for _, line := range lines {
		w.Log = append(w.Log, deadletters.Line{At: line.At.UTC(), Act: line.Act, Actor: line.Actor, Reason: line.Reason})
	}
	return w, nil
}
