package main

import (
	"context"
	"log/slog"
	"time"

	"millrace/adapters/journal/archive"
)

// keepJournals puts the journals of sagas into files when their retention is over, and takes them out of
// the database. The orchestrator alone does so, whose journals they are; of several one at a time. Without
// a retention they are kept for ever.
func (s *stack) keepJournals(b *base, logger *slog.Logger) error {
	if s.retention.journal == 0 {
		return nil
	}
	keeper, err := archive.New(archive.Config{DB: b.db, Dir: s.retention.archive, Age: s.retention.journal, Now: time.Now})
	if err != nil {
		return err
	}
	s.every(often(s.retention.journal), "retention of journals", logger, func(ctx context.Context) error {
		done, err := keeper.Run(ctx)
		if done.Sagas > 0 {
			logger.Info("journals were archived", "sagas", done.Sagas, "entries", done.Entries, "files", done.Files, "folder", s.retention.archive)
		}
		return err
	})
	return nil
}
