package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestJournalsAreArchivedOnlyWhereARetentionIsSet(t *testing.T) {
	t.Parallel()
	b := &base{schema: "orders", db: migrated(t, "orders")}
	folder := filepath.Join(t.TempDir(), "archive")
	s := &stack{process: &process{logger: quiet}, retention: retention{archive: folder}}
	must(t, s.keepJournals(b, quiet))
	if _, err := os.Stat(folder); !os.IsNotExist(err) || len(s.process.consuming) != 0 {
		t.Errorf("without a retention there are %d chores, and the folder: %v", len(s.process.consuming), err)
	}
	s.retention.journal = 1000 * time.Hour
	must(t, s.keepJournals(b, quiet))
	if _, err := os.Stat(folder); err != nil || len(s.process.consuming) != 1 {
		t.Errorf("with one there are %d chores, and the folder: %v", len(s.process.consuming), err)
	}
	must(t, os.WriteFile(filepath.Join(folder, "file"), nil, 0o600))
	s.retention.archive = filepath.Join(folder, "file")
	if err := s.keepJournals(b, quiet); err == nil {
		t.Error("a folder that cannot be made does not stop the start")
	}
}
