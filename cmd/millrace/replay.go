package main

import (
	"context"
	"errors"
	"time"

	"millrace/adapters/journal"
	"millrace/app/audit"
	"millrace/ports/cli"
)

// histories opens the journals of sagas for reading, as they are at one moment.
func histories(ctx context.Context, w cli.Where, q audit.Query, orderIDs ...string) (*cli.Histories, error) {
	j, closeIt, err := openJournal(ctx, w)
	if err != nil {
		return nil, err
	}
	stream, err := j.Histories(ctx, q, orderIDs...)
	if err != nil {
		return nil, errors.Join(err, closeIt())
	}
	return &cli.Histories{
		Sagas: stream.Sagas, Entries: stream.Entries, All: stream.All(),
		Close: func() error { return errors.Join(stream.Close(), closeIt()) },
	}, nil
}

// newestMove says when a saga last moved, by its orchestrator's clock.
func newestMove(ctx context.Context, w cli.Where) (time.Time, error) {
	j, closeIt, err := openJournal(ctx, w)
	if err != nil {
		return time.Time{}, err
	}
	newest, err := j.Newest(ctx)
	return newest, errors.Join(err, closeIt())
}

// openJournal opens ordering's database for reading, with what closes it. It need not be at this build's version.
func openJournal(ctx context.Context, w cli.Where) (*journal.Journal, func() error, error) {
	s, err := stateOf(w)
	if err != nil {
		return nil, nil, err
	}
	db, err := s.openToRead(ctx, "orders")
	if err != nil {
		return nil, nil, err
	}
	if err := journal.Check(ctx, db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return journal.New(db, patienceOf(s.Config), time.Now), db.Close, nil
}
