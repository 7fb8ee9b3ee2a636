package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// The operations of the client's journal.
const (
	opInvoke  = "invoke"  // about to be sent
	opOK      = "ok"      // answered 202
	opFail    = "fail"    // refused: it must have had no effect
	opUnknown = "unknown" // anything may have come of it
	opCancel  = "cancel"  // a cancel was answered, with Status
)

// entry is one line of the client's journal. Before the next thing happens it is on the disk, so
// what the client knew survives whatever happens to it.
type entry struct {
	At     int64  `json:"at"` // microseconds since 1970
	N      int    `json:"n"`  // which order
	Op     string `json:"op"`
	Fate   string `json:"fate,omitempty"`
	User   string `json:"user,omitempty"`
	Order  string `json:"order,omitempty"`
	Status int    `json:"status,omitempty"`
	Took   int64  `json:"took,omitempty"` // microseconds, of this one request
	Error  string `json:"error,omitempty"`
}

func (e entry) when() time.Time { return time.UnixMicro(e.At) }

// ledger is a file of JSON lines that are on the disk when write returns.
type ledger struct {
	mu   sync.Mutex
	file *os.File
}

func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &ledger{file: f}, nil
}

func (l *ledger) write(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

// readLedger reads the lines that are whole; a file that is not there has none.
func readLedger[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(all)+1, err)
		}
		all = append(all, one)
	}
	return all, lines.Err()
}
