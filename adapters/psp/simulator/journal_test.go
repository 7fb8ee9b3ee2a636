package simulator

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// slowDisk lets a test hold a sync, and counts them.
type slowDisk struct {
	syncing chan struct{}
	release chan error
	mu      sync.Mutex
	syncs   int
}

func (d *slowDisk) Write(p []byte) (int, error) { return len(p), nil }
func (d *slowDisk) Close() error                { return nil }

func (d *slowDisk) Sync() error {
	d.mu.Lock()
	d.syncs++
	d.mu.Unlock()
	d.syncing <- struct{}{}
	return <-d.release
}

func TestWhatGathersDuringASyncSharesTheNextOne(t *testing.T) {
	t.Parallel()
	d := &slowDisk{syncing: make(chan struct{}), release: make(chan error)}
	j := startJournal(d)
	put := func(i int) {
		if err := j.append(entry{Op: opVoid, Key: fmt.Sprint(i)}); err != nil {
			t.Error(err)
		}
	}
	put(0)
	<-d.syncing
	var waiting sync.WaitGroup
	for i := range 100 {
		put(i + 1)
		waiting.Go(func() {
			if err := j.wait(); err != nil {
				t.Error(err)
			}
		})
	}
	d.release <- nil
	<-d.syncing
	d.release <- nil
	waiting.Wait()
	if d.syncs != 2 {
		t.Errorf("101 entries took %d syncs, want 2", d.syncs)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsPromisedAfterAFailedSync(t *testing.T) {
	t.Parallel()
	d := &slowDisk{syncing: make(chan struct{}), release: make(chan error)}
	j := startJournal(d)
	full := errors.New("no space left on device")
	if err := j.append(entry{Op: opVoid, Key: "a"}); err != nil {
		t.Fatal(err)
	}
	<-d.syncing
	d.release <- full
	if err := j.wait(); !errors.Is(err, full) {
		t.Errorf("wait: got %v, want %v", err, full)
	}
	if err := j.append(entry{Op: opVoid, Key: "b"}); !errors.Is(err, ErrStorage) {
		t.Errorf("append: got %v, want %v", err, ErrStorage)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}
