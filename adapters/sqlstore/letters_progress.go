package sqlstore

import (
	"context"
	"fmt"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
)

// Where letters are while an apply waits for what becomes of them, and what is parked behind them.

// Progress gives where letters are now.
func (l *Letters) Progress(ctx context.Context, service string, ids []string) (map[string]deadletters.Progress, error) {
	core, err := l.core(service)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	found := make(map[string]deadletters.Progress, len(ids))
	query := `SELECT d.id, d.state, d.version, d.reason, d.error, d.topic, coalesce(i.outcome, '') AS outcome,
			CASE WHEN d.state = 'parked' AND NOT EXISTS (SELECT 1 FROM dead_letters r WHERE r.consumer = d.consumer
					AND r.order_id = d.order_id AND r.state = 'redriving')
				AND EXISTS (SELECT 1 FROM dead_letters w WHERE w.consumer = d.consumer AND w.order_id = d.order_id
					AND w.state = 'waiting' AND w.position < d.position) THEN 1 ELSE 0 END AS blocked
		FROM dead_letters d LEFT JOIN inbox i ON i.consumer = d.consumer AND i.message_id = d.message_id WHERE ` + core.DB.Dialect.Among("d.id", "text")
	var rows []struct {
		ID      string `db:"id"`
		State   string `db:"state"`
		Version int    `db:"version"`
		Reason  string `db:"reason"`
		Error   string `db:"error"`
		Topic   string `db:"topic"`
		Outcome string `db:"outcome"`
		Blocked int    `db:"blocked"`
	}
	db := core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), sqldb.Set(core.DB.Dialect, ids)); err != nil {
		return nil, fmt.Errorf("look after dead letters: %w", sqldb.Classify(err))
	}
	for _, r := range rows {
		found[r.ID] = deadletters.Progress{
			State: r.State, Version: r.Version, Reason: r.Reason, Error: r.Error,
			// An act's letter is done in the transaction that settles the act.
			Handled: r.State == deadletters.Done && (r.Topic == "" || r.Outcome == "done"), Blocked: r.Blocked == 1,
		}
	}
	return found, nil
}

// Behind gives the messages that are parked behind a letter.
func (l *Letters) Behind(ctx context.Context, item deadletters.Item) ([]deadletters.Letter, error) {
	core, err := l.core(item.Service)
	if err != nil || item.OrderID == "" {
		return nil, err
	}
	var rows []listedRecord
	db := core.DB.Read
	query := listed + " WHERE d.consumer = ? AND d.order_id = ? AND d.state = 'parked' AND d.position > ? ORDER BY d.position"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), item.Consumer, item.OrderID, item.Position); err != nil {
		return nil, fmt.Errorf("look behind a dead letter: %w", sqldb.Classify(err))
	}
	behind := make([]deadletters.Letter, len(rows))
	for i, r := range rows {
		behind[i] = r.letter()
	}
	return behind, nil
}
