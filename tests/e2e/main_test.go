// Package e2e runs the built program as its users do, on the embedded stack and on a real one, and
// looks at it only from outside: HTTP, Kafka, mail, the provider's ledger, processes and their exit
// codes. What goes on inside a service is tested beside the service and must not be in here.
//
// One instance a stack serves most scenarios side by side, because most of their time is waiting.
// Those that end processes or take servers away have instances of their own.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is the program under test, built once for the whole package.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	sideBySide()
	dir, err := os.MkdirTemp("", "millrace-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "millrace")
	args := []string{"build", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "millrace/cmd/millrace")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
		return 1
	}
	return m.Run()
}

// sideBySide lets more tests run at once than there are processors, unless -parallel says how
// many: they wait for other processes.
func sideBySide() {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "16") // a flag that every test binary has
	}
}

// await returns when holds does, and fails the test when that takes longer than limit.
func await(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	late := time.After(limit)
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatalf("gave up waiting until %s: %v", what, t.Context().Err())
		case <-late:
			t.Fatalf("after %s it is still not so that %s", limit, what)
		}
	}
}
