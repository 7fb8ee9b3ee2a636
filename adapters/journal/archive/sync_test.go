package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
)

// A run that was killed right after it gave the file its name may have left one that a power cut takes away.
func TestNoFileOfAnEarlierRunIsTrustedBeforeItsNameIsOnTheDisk(t *testing.T) {
	t.Parallel()
	r, err := New(Config{DB: adaptertest.SQLite(t, "orders"), Dir: filepath.Join(t.TempDir(), "new"), Age: time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(r.Dir, prefix+"1"+suffix)
	if err := os.WriteFile(left, []byte("not even an archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	unlucky, synced := errors.New("the disk is gone"), ""
	r.sync = func(dir string) error { synced = dir; return unlucky }
	if _, err := r.Run(t.Context()); !errors.Is(err, unlucky) || synced != r.Dir {
		t.Errorf("it brings the names in %q to the disk and ends with %v", synced, err)
	}
	r.sync = syncDir
	if _, err := r.Run(t.Context()); err == nil || errors.Is(err, unlucky) {
		t.Errorf("it ends with %v: the file was not read", err)
	}
}
