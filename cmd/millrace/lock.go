package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// holder is what the lock file of a data folder says of the instance that has the folder: a line for its
// process, and one for each of the others that it has.
type holder struct {
	process  int
	postgres string // the database that its services write to; "" for files in the folder
	provider string // URL of the payment provider that it brought along; "" for another one
}

// lockFolder makes the data folder and holds it for this process: the kernel lets go of the lock
// when the process ends, however it ends. A second instance is refused by name of the first.
func lockFolder(dir string, h holder) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be made: %w: choose another one with --data", dir, cause(err))
	}
	file, err := os.OpenFile(lockFile(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s is not writable: %w: choose another one with --data", dir, cause(err))
	}
	if err := takeLock(file); err != nil {
		other := readHolder(file)
		_ = file.Close()
		return nil, fmt.Errorf("the data folder %s is in use%s: stop that instance, or choose another folder with --data", dir, other.by())
	}
	_ = file.Truncate(0)
	if _, err := file.WriteAt([]byte(h.lines()), 0); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("the data folder %s is not writable: %w: choose another one with --data", dir, cause(err))
	}
	return func() { _ = file.Close() }, nil
}

// takeLock tries more than once: whoever looks who holds the folder has the lock for an instant.
func takeLock(file *os.File) error {
	const tries, apart = 5, 10 * time.Millisecond
	for n := 1; ; n++ {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || n == tries {
			return err
		}
		time.Sleep(apart)
	}
}

// holderOfFolder says which instance runs on a data folder, if one does. What one has left behind that has
// ended says nothing.
func holderOfFolder(dir string) (holder, bool) {
	file, err := os.Open(lockFile(dir))
	if err != nil {
		return holder{}, false
	}
	defer func() { _ = file.Close() }() // and lets go of the lock
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return holder{}, false
	}
	return readHolder(file), true
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

func (h holder) lines() string {
	lines := strconv.Itoa(h.process) + "\n"
	if h.postgres != "" {
		lines += "postgres " + h.postgres + "\n"
	}
	if h.provider != "" {
		lines += "provider " + h.provider + "\n"
	}
	return lines
}

func readHolder(file io.Reader) (h holder) {
	text, _ := io.ReadAll(file)
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "postgres":
			h.postgres = value
		case "provider":
			h.provider = value
		default:
			h.process, _ = strconv.Atoi(name)
		}
	}
	return h
}

func (h holder) by() string {
	if h.process == 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d", h.process)
}

// cause leaves the path out of a file error: the line names it already.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
