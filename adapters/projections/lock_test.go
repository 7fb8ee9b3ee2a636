package projections

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A child has every open file of its parent until it runs a program of its own, and with the file the lock.
func TestALockIsLetGoThoughAChildHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.db.rebuild")
	l, err := lockFile(path, "orders_by_user")
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(l.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(child) }()
	if err := l.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := lockFile(path, "orders_by_user")
	if err != nil {
		t.Fatalf("the lock was not let go: %v", err)
	}
	if err := again.release(t.Context()); err != nil {
		t.Error(err)
	}
}
