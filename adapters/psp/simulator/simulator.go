// Package simulator is a payment provider that behaves well and badly on demand: the payment
// method of a capture chooses its fate. It is a party outside: its ledger is what the books of
// the system are checked against, so nothing of the system's own state, rules or database may be
// in this package.
//
// What it has answered is on disk before the answer leaves, and a capture happens once for its
// key, however often it is asked for.
package simulator

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options are the delays of the simulator, its clock and its log. A zero value means the default.
type Options struct {
	Slow time.Duration // how long pm_card_slow takes; 2 s
	Late time.Duration // how long pm_card_late stays pending; 45 s
	Hang time.Duration // how long pm_card_timeout keeps a caller without an answer; 60 s
	Now  func() time.Time
	Log  *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Slow = cmp.Or(o.Slow, 2*time.Second)
	o.Late = cmp.Or(o.Late, 45*time.Second)
	o.Hang = cmp.Or(o.Hang, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Simulator is the provider. Its methods are what its HTTP interface calls; they may be called
// directly, by many at once.
type Simulator struct {
	opts    Options
	closing chan struct{}
	close   sync.Once

	mu      sync.Mutex // guards book, and keeps the journal in the order of the book
	book    *book
	journal *journal // nil when nothing is kept on disk
}

const journalFile = "psp.jsonl"

// Open starts a simulator on the state in dir, which is made when it is not there. An entry that
// a crash cut short was never answered for and is dropped; a damaged entry before the last one is
// an error. With dir "" the state is in memory alone and ends with the process.
func Open(dir string, opts Options) (*Simulator, error) {
	s := &Simulator{opts: opts.withDefaults(), closing: make(chan struct{}), book: newBook()}
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("payment provider: %w", err)
	}
	j, err := openJournal(filepath.Join(dir, journalFile), s.book.apply)
	if err != nil {
		return nil, fmt.Errorf("payment provider: %w", err)
	}
	s.journal = j
	return s, nil
}

// Close lets go of callers that wait for an answer and closes the state on disk. Whatever was
// accepted is kept: a capture that is still pending happens when its time comes.
func (s *Simulator) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closing)
		err = s.journal.close()
	})
	return err
}

// record writes a change into the journal and into the book. The caller holds mu, and does
// not answer before settled returned nil.
func (s *Simulator) record(e entry) error {
	if err := s.journal.append(e); err != nil {
		return err
	}
	return s.book.apply(e)
}

// settled waits until everything in the book so far is on disk. Readers wait too: nobody may
// learn of a capture that a crash could still take back.
func (s *Simulator) settled() error {
	if err := s.journal.wait(); err != nil {
		return ErrStorage.Because(err)
	}
	return nil
}

func (s *Simulator) now() int64 { return s.opts.Now().UnixMicro() }
