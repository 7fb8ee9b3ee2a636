package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is one process of the program.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	done   chan struct{} // closed when it has ended
}

// spawn starts the program with nothing in its environment but settings, in a folder without an
// .env. It ends with owner, which then says what the process logged, if anything went wrong.
func spawn(owner, t *testing.T, settings []string, args ...string) *child {
	t.Helper()
	return spawnBuild(binary, owner, t, settings, args...)
}

// spawnBuild does the same with another build of the program.
func spawnBuild(program string, owner, t *testing.T, settings []string, args ...string) *child {
	t.Helper()
	return spawnIn(owner.TempDir(), program, owner, t, settings, args...)
}

// spawnIn does the same in a folder that is there, which may have an .env.
func spawnIn(dir, program string, owner, t *testing.T, settings []string, args ...string) *child {
	t.Helper()
	c := &child{name: strings.Join(args, " "), stdout: &output{}, stderr: &output{}, done: make(chan struct{})}
	c.cmd = exec.Command(program, args...)
	c.cmd.Dir = dir
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.cmd.Dir, "TMPDIR=" + os.TempDir()}, settings...)
	c.cmd.Stdout, c.cmd.Stderr = c.stdout, c.stderr
	diesWithTest(c.cmd)
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", c.name, err)
	}
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // its ProcessState says how it went
	}()
	owner.Cleanup(func() {
		c.kill()
		log := c.stderr.String()
		if strings.Contains(log, "DATA RACE") {
			owner.Errorf("%s has a data race", c.name)
		}
		if strings.Contains(log, `panic`) {
			owner.Errorf("%s panicked", c.name)
		}
		if owner.Failed() {
			owner.Logf("%s (process %d) ended with %s and logged last:\n%s", c.name, c.cmd.Process.Pid, c.cmd.ProcessState, tail(log, 40))
		}
	})
	return c
}

// kill ends the process at once, as a crash would.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	<-c.done
}

// terminate asks the process to end, and checks that it does so in time and with exit code 0.
func (c *child) terminate(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s had ended before it was told to: %v\n%s", c.name, err, tail(c.stderr.String(), 20))
		return
	}
	c.ends(t, 10*time.Second, 0)
}

// ends waits for the end and checks the exit code.
func (c *child) ends(t *testing.T, limit time.Duration, code int) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(limit):
		t.Errorf("%s did not end within %s", c.name, limit)
		return
	}
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s ended with %s, want exit code %d\n%s", c.name, c.cmd.ProcessState, code, tail(c.stderr.String(), 20))
	}
}

// alive says whether the process still runs.
func (c *child) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail gives the last lines, without what a log repeats.
func tail(text string, lines int) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"msg":"a message became a dead letter"`) {
			kept = append(kept, line[:min(len(line), 600)])
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "")
}
