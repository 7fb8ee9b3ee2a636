package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutant is one mistake that somebody could make.
type mutant struct {
	name   string
	file   string // from the root of the repository
	edits  []edit
	checks []check // tried in this order until one catches it
}

// edit replaces a text that the file has exactly once.
type edit struct{ old, new string }

// check is one test that is expected to fail.
type check struct {
	in   string // package, from the root of the repository
	test string // pattern of go test -run
}

// String names the check as go test's arguments do.
func (c check) String() string { return c.in + " " + c.test }

func names(checks []check) string {
	all := make([]string, len(checks))
	for i, c := range checks {
		all[i] = c.String()
	}
	return strings.Join(all, ", ")
}

var (
	errText    = errors.New("the text to be mistaken is not there exactly once")
	errUnbuilt = errors.New("it does not compile")
)

// mistaken gives the file's text with the mistake in it.
func (m mutant) mistaken(root string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	text := string(raw)
	for _, e := range m.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%w, but %d times in %s: %q", errText, n, m.file, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, nil
}

// try gives the check that catches the mutant, nil when none does, and what it said. The folder is
// its own.
func (m mutant) try(ctx context.Context, folder string) (*check, string, error) {
	text, err := m.mistaken(".")
	if err != nil {
		return nil, "", err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return nil, "", err
	}
	mistaken := filepath.Join(folder, "mistaken.go")
	if err := os.WriteFile(mistaken, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	overlay := filepath.Join(folder, "overlay.json")
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {original: mistaken}})
	if err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		return nil, "", err
	}
	tests := binaries{folder: folder, overlay: overlay}
	for _, c := range m.checks {
		outcome, said, err := tests.run(ctx, c)
		switch {
		case err != nil:
			return nil, "", err
		case outcome == unbuilt:
			return nil, "", fmt.Errorf("%w:\n%s", errUnbuilt, said)
		case outcome == failed:
			return &c, said, nil
		}
	}
	return nil, "", nil
}

// binaries builds the tests of packages, each once, with a mistake when an overlay is named.
type binaries struct {
	folder, overlay string
}

// build gives the tests of a package as a program, and what the compiler said where there is none.
func (b binaries) build(ctx context.Context, in string) (program, said string, err error) {
	program, err = filepath.Abs(filepath.Join(b.folder, strings.ReplaceAll(in, "/", "_")+".test"))
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(program); err == nil {
		return program, "", nil
	}
	args := []string{"test", "-c", "-vet=off", "-ldflags", "-s -w", "-o", program} // without debugging data it is linked sooner
	if b.overlay != "" {
		args = append(args, "-overlay", b.overlay)
	}
	raw, err := exec.CommandContext(ctx, "go", append(args, "./"+in)...).CombinedOutput()
	if err != nil {
		return "", string(raw), onlyExit(ctx, err)
	}
	return program, "", nil
}

// onlyExit leaves nothing of an error that says that a program failed.
func onlyExit(ctx context.Context, err error) error {
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// outcome is how a check ended.
type outcome int

const (
	passed  outcome = iota
	failed          // a test failed, hung or panicked
	idle            // no test ran, or all were skipped
	unbuilt         // the tests did not compile
)

// patience is how long one check may take, its building aside. One that passes on the tree within it
// and does not end with a mistake in it has caught that: it waits for what no longer comes.
const patience = 30 * time.Second

// hung says whether a check was ended because it took too long.
func hung(said string) bool { return strings.Contains(said, "panic: test timed out after ") }

// run runs a check where go test would: in its package's folder.
func (b binaries) run(ctx context.Context, c check) (outcome, string, error) {
	program, said, err := b.build(ctx, c.in)
	if err != nil || program == "" {
		return unbuilt, said, err
	}
	tests := exec.CommandContext(ctx, program, "-test.v", "-test.timeout", patience.String(), "-test.run", c.test)
	tests.Dir = c.in
	tests.Env = append(os.Environ(), "RAPID_NOFAILFILE=true") // or a property that fails would leave its example in the tree
	raw, err := tests.CombinedOutput()
	said = string(raw)
	switch {
	case err != nil:
		return failed, said, onlyExit(ctx, err)
	case !strings.Contains(said, "--- PASS") || deepestSkipped(said):
		return idle, said, nil
	default:
		return passed, said, nil
	}
}

// deepestSkipped says whether every innermost test was skipped: its parent then passes although
// nothing was tested.
func deepestSkipped(said string) bool {
	ran, skipped := false, false
	var parents []string // of those that ended: go test names a parent before its parts
	for line := range strings.Lines(said) {
		verdict, name, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || !strings.HasPrefix(verdict, "--- ") {
			continue
		}
		name, _, _ = strings.Cut(name, " ")
		switch verdict {
		case "--- SKIP":
			skipped = true
		case "--- PASS":
			parents = append(parents, name)
		}
	}
	for _, name := range parents {
		inner := strings.Contains(said, ": "+name+"/")
		ran = ran || !inner
	}
	return skipped && !ran
}
