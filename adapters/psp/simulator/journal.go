package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// journal is an append-only file of JSON lines. Many appends share one write and one fsync: what
// gathers while the disk is busy goes in the next round. After a failed write nothing more is
// accepted, because the book in memory is then ahead of the disk. A nil journal keeps nothing.
type journal struct {
	file disk
	wake chan struct{} // capacity 1: something is in gathered
	quit chan struct{}
	done chan struct{}

	mu       sync.Mutex
	gathered []byte
	last     *round // the round of the newest line
	open     bool   // last still takes lines
	closed   bool
	failed   error
}

// disk is what a journal needs of its file.
type disk interface {
	io.WriteCloser
	Sync() error
}

// round is one write and one fsync. err is read after done is closed.
type round struct {
	done chan struct{}
	err  error
}

// openJournal hands every line that is already there to replay, then takes new ones.
func openJournal(path string, replay func(entry) error) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := mend(f, replay); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return startJournal(f), nil
}

func startJournal(f disk) *journal {
	j := &journal{file: f, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go j.run()
	return j
}

// mend replays the file and cuts off a last line without an end, which a crash left behind.
func mend(f *os.File, replay func(entry) error) error {
	good, err := readJournal(f, replay)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if err := f.Truncate(good); err != nil {
		return err
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		return err
	}
	return f.Sync()
}

// readJournal gives the length of the part that consists of whole lines.
func readJournal(r io.Reader, replay func(entry) error) (good int64, err error) {
	lines := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return good, fmt.Errorf("line %d is damaged: %w", n, err)
		}
		if err := replay(e); err != nil {
			return good, fmt.Errorf("line %d: %w", n, err)
		}
		good += int64(len(line))
	}
}

// append puts an entry into the next round. It is durable once wait has returned nil.
func (j *journal) append(e entry) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrStorage.Because(os.ErrClosed)
	}
	if j.failed != nil {
		return ErrStorage.Because(j.failed)
	}
	if !j.open {
		j.last, j.open = &round{done: make(chan struct{})}, true
	}
	j.gathered = append(append(j.gathered, line...), '\n')
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return nil
}

// wait returns when everything appended before is on disk, or will never be.
func (j *journal) wait() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	r, failed := j.last, j.failed
	j.mu.Unlock()
	if r == nil {
		return failed
	}
	<-r.done
	return r.err
}

func (j *journal) run() {
	defer close(j.done)
	var spare []byte
	for {
		select {
		case <-j.wake:
			spare = j.flush(spare)
		case <-j.quit:
			j.flush(spare)
			return
		}
	}
}

// flush writes what has gathered. It gives back the buffer that it emptied, for the next round.
func (j *journal) flush(spare []byte) []byte {
	j.mu.Lock()
	lines, r := j.gathered, j.last
	mine := j.open
	j.gathered, j.open = spare[:0], false
	err := j.failed
	j.mu.Unlock()
	if !mine {
		return lines
	}
	if err == nil {
		if _, err = j.file.Write(lines); err == nil {
			err = j.file.Sync()
		}
	}
	if err != nil {
		j.mu.Lock()
		j.failed = err
		j.mu.Unlock()
	}
	r.err = err
	close(r.done)
	return lines
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.quit)
	<-j.done
	return j.file.Close()
}
