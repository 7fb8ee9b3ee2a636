package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// saveHistories writes what reached the sagas of this run, and what they decided, into a folder as a
// bundle without user ids and payment data: `millrace saga corpus add --pick` chooses from it what is
// worth keeping.
func (w *world) saveHistories(ctx context.Context, folder string) error {
	text, err := w.millrace(ctx, "saga", "export", "--query", "", "--redact")
	if err != nil {
		return fmt.Errorf("histories of the run: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("histories of the run: %w", err)
	}
	path := filepath.Join(folder, fmt.Sprintf("chaos-%s-%d.ndjson", w.opts.Stack, w.opts.Seed))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("histories of the run: %w", err)
	}
	w.say("the histories of the sagas are in %s", path)
	return nil
}
