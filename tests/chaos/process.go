package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one program that is kept running: when it dies it is started again, as whoever
// operates it would.
type process struct {
	name string
	path string
	args []string
	env  []string
	dir  string
	log  string // file
	died func(p *process, pid int, how string)

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // of cmd
	wanted bool
	starts int
	stdin  io.WriteCloser
	stdout io.Reader
	piped  bool
}

// settings is the environment of a process: nothing of ours but where programs and folders are.
func (p *process) settings() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + os.TempDir()}, p.env...)
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.launch()
}

// launch starts it. The caller holds mu.
func (p *process) launch() error {
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.Background(), p.path, p.args...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.Stdout = p.dir, p.settings(), log, log
	cmd.SysProcAttr = diesWithUs()
	if p.piped {
		if p.stdin, err = cmd.StdinPipe(); err != nil {
			return err
		}
		cmd.Stdout = nil
		if p.stdout, err = cmd.StdoutPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.starts++
	p.cmd, p.done = cmd, make(chan struct{})
	go p.watch(cmd, p.done)
	return nil
}

// watch waits for the end of one process, and starts the next.
func (p *process) watch(cmd *exec.Cmd, done chan struct{}) {
	if p.piped {
		_, _ = cmd.Process.Wait() // the pipes are read to their end by whoever has them
	} else {
		_ = cmd.Wait() // its state says how it went
	}
	close(done)
	p.mu.Lock()
	wanted := p.wanted && p.cmd == cmd
	p.mu.Unlock()
	if !wanted {
		return
	}
	how := "left"
	if cmd.ProcessState != nil {
		how = cmd.ProcessState.String()
	}
	if p.died != nil {
		p.died(p, cmd.Process.Pid, how)
	}
	time.Sleep(200 * time.Millisecond) // as a supervisor waits, so that what cannot start does not spin
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.cmd == cmd {
		_ = p.launch() // what cannot be started shows as not ready
	}
}

// leaves says that it may end by itself now.
func (p *process) leaves() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(s)
}

// end ends it and does not start it again: first as it is asked for, then for good.
func (p *process) end(s syscall.Signal, patience time.Duration) error {
	p.mu.Lock()
	p.wanted = false
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(patience):
	}
	_ = cmd.Process.Kill()
	<-done
	return fmt.Errorf("%s did not end within %s of %s", p.name, patience, s)
}

// tail gives the last lines of its log.
func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
