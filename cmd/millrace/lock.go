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
)

// lockFolder makes the data folder and holds it for this process: the kernel lets go of the lock
// when the process ends, however it ends. A second instance is refused by name of the first.
func lockFolder(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be made: %w: choose another one with --data", dir, cause(err))
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s is not writable: %w: choose another one with --data", dir, cause(err))
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(file)
		_ = file.Close()
		return nil, fmt.Errorf("the data folder %s is in use%s: stop that instance, or choose another folder with --data", dir, heldBy(holder))
	}
	_ = file.Truncate(0)
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("the data folder %s is not writable: %w: choose another one with --data", dir, cause(err))
	}
	return func() { _ = file.Close() }, nil
}

func heldBy(holder []byte) string {
	if pid := strings.TrimSpace(string(holder)); pid != "" {
		return " by process " + pid
	}
	return ""
}

// cause leaves the path out of a file error: the line names it already.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
