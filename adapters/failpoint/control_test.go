//go:build failpoints

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// inFolder is the control of a process that was started with a folder, without its clock: a test
// looks when it wants to.
func inFolder(t *testing.T, armed string) *control {
	t.Helper()
	c := &control{dir: t.TempDir()}
	var err error
	if c.events, err = os.Create(filepath.Join(c.dir, eventsFile)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.events.Close() })
	c.arm(t, armed)
	return c
}

func (c *control) arm(t *testing.T, armed string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, armedFile), []byte(armed), 0o644); err != nil {
		t.Fatal(err)
	}
	c.look()
}

func (c *control) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, eventsFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnErrorComesFromTheHitThatIsMeantOn(t *testing.T) {
	t.Parallel()
	c := inFolder(t, "1 p s error:40001 3 2\n")
	for n := range 6 {
		err := c.hit("p", "s")
		var pg *pgconn.PgError
		if meant := n == 2 || n == 3; meant != (errors.As(err, &pg) && pg.Code == "40001") {
			t.Errorf("hit %d: %v", n+1, err)
		}
	}
	if got := strings.Count(c.said(t), "fired 1 p s "); got != 2 {
		t.Errorf("it is written down %d times:\n%s", got, c.said(t))
	}
}

func TestOnlyTheServiceThatIsMeantIsHit(t *testing.T) {
	t.Parallel()
	c := inFolder(t, "1 p s error:40001 1 9\n2 q * error:40P01 1 9\n")
	for _, other := range [][2]string{{"p", "t"}, {"r", "s"}} {
		if err := c.hit(other[0], other[1]); err != nil {
			t.Errorf("%v: %v", other, err)
		}
	}
	for _, one := range [][2]string{{"p", "s"}, {"p", "s.order.events"}, {"p", "/data/db/s.db"}, {"q", "t"}} {
		if err := c.hit(one[0], one[1]); err == nil {
			t.Errorf("%v passes", one)
		}
	}
	if said := c.said(t); strings.Count(said, "reached p s ") != 1 || !strings.Contains(said, "reached r s ") {
		t.Errorf("%s", said)
	}
}

func TestAnOrderThatIsTakenBackDoesNothing(t *testing.T) {
	t.Parallel()
	c := inFolder(t, "1 p s error:40001 1 9\n")
	if c.hit("p", "s") == nil {
		t.Error("it passes")
	}
	c.arm(t, "")
	if err := c.hit("p", "s"); err != nil {
		t.Error(err)
	}
}

func TestAPanicPanics(t *testing.T) {
	t.Parallel()
	c := inFolder(t, "1 p s panic 1 1\n")
	defer func() {
		if recover() == nil {
			t.Error("it does not")
		}
	}()
	_ = c.hit("p", "s")
}

func TestAClockGoesWrongForOneService(t *testing.T) {
	t.Parallel()
	c := inFolder(t, "clock s -1h\n")
	if c.shift("s") != -time.Hour || c.shift("t") != 0 {
		t.Errorf("%s, %s", c.shift("s"), c.shift("t"))
	}
}

// A process that dies at its failpoint is started again, and must not die there for ever.
func TestAKillHappensOnceHoweverManyProcessesComePast(t *testing.T) {
	if dir := os.Getenv("FAILPOINTS"); dir != "" { // the child
		Hit("p", "s")
		return
	}
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, armedFile), []byte("1 p s kill 1 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func() *os.ProcessState {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), "FAILPOINTS="+dir)
		_ = child.Run() // its state says how it went
		return child.ProcessState
	}
	if status, ok := run().Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the first ended with %v", status)
	}
	if second := run(); !second.Success() {
		t.Errorf("the second ended with %s", second)
	}
}
