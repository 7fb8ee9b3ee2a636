package projections

import (
	"context"
	"errors"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/sagas/replay"
)

const (
	// chunkSize is how many orders are read and written at once.
	chunkSize = 400
	// fewEnough orders are left to the exchange, which is then short; rounds bounds how often that is tried.
	fewEnough, rounds = 100, 20
)

// fill reads every journal there is, as it was at one moment, and fills the shadow. Histories come one after
// the other: memory does not grow with their number.
func (r *rebuild) fill(ctx context.Context) error {
	stream, err := r.source.journal.Histories(ctx, audit.Query{})
	if err != nil {
		return err
	}
	r.report.Entries = stream.Entries
	err = r.fillFrom(ctx, stream.Sagas, func(take func(replay.History) error) error {
		for h, err := range stream.All() {
			if err == nil {
				err = take(h)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, stream.Close())
}

func (r *rebuild) fillFrom(ctx context.Context, total int, histories func(func(replay.History) error) error) error {
	done := 0
	var chunk []replay.History
	flush := func() error {
		if err := r.Watch(app.Progress{Step: app.Fill, Done: done, Total: total}); err != nil {
			return err
		}
		ids := make([]string, len(chunk))
		for i, h := range chunk {
			ids[i] = h.Saga.OrderID
		}
		orders, err := r.source.named(ctx, ids)
		if err != nil {
			return err
		}
		var ended []app.Ended
		for _, h := range chunk {
			o := orders[h.Saga.OrderID]
			if !messages.Ended(o.Status) {
				continue // it is left to the catching up, with what is written by then
			}
			if m, err := r.source.told(h); err == nil && m == nil {
				continue // it has ended since the journal was read
			}
			if end, ok := r.source.end(h, o); ok {
				ended = append(ended, end)
			}
		}
		done += len(chunk)
		chunk = chunk[:0]
		return r.write(ctx, ended)
	}
	err := histories(func(h replay.History) error {
		if chunk = append(chunk, h); len(chunk) < chunkSize {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return errors.Join(err, r.source.whole())
}

// write puts orders into the shadow, a transaction a call, and pauses for as long as it took: whoever waits
// for SQLite's one writer gets his turn.
func (r *rebuild) write(ctx context.Context, ended []app.Ended) error {
	if len(ended) == 0 {
		return ctx.Err()
	}
	begun := time.Now() // a duration, not a time of day
	var results []sqldb.Result
	err := r.DB.InBatchTx(ctx, func(tx *sqldb.Tx) (err error) {
		results, err = tx.Batch(ctx, r.inserts(ended))
		return err
	})
	if err != nil {
		return err
	}
	r.count(results)
	pause := time.NewTimer(time.Since(begun))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rebuild) inserts(ended []app.Ended) []sqldb.Statement {
	statements := make([]sqldb.Statement, len(ended))
	for i, o := range ended {
		statements[i] = sqldb.Statement{Query: r.tables[0].insert(), Args: r.row(o)}
	}
	return statements
}

// count counts the orders that the shadow did not have.
func (r *rebuild) count(results []sqldb.Result) {
	for _, done := range results {
		if done.Changed > 0 {
			r.report.Orders++
		}
	}
}

// catchUp takes what has ended since the journal was read, again and again until that is little. Under a
// load that it cannot keep up with, the exchange has more to do.
func (r *rebuild) catchUp(ctx context.Context) error {
	for range rounds {
		missing, err := r.source.missing(ctx)
		if err != nil {
			return err
		}
		written := 0
		err = r.source.again(ctx, missing, func(ended []app.Ended) error {
			written += len(ended)
			return r.write(ctx, ended)
		})
		if err != nil || written < fewEnough {
			return err
		}
	}
	return nil
}
