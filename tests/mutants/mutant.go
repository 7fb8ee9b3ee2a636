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

// try gives the check that catches the mutant, nil when none does, and what it said.
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
	for _, c := range m.checks {
		outcome, said, err := c.run(ctx, overlay)
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

// outcome is how a check ended.
type outcome int

const (
	passed  outcome = iota
	failed          // a test failed, hung or panicked
	idle            // no test ran, or all were skipped
	unbuilt         // the tests did not compile
)

// patience is how long one check may take. A mutant that hangs is caught by it.
const patience = 90 * time.Second

// run runs the check, with a mistake when an overlay is named.
func (c check) run(ctx context.Context, overlay string) (outcome, string, error) {
	args := []string{"test", "-v", "-count=1", "-vet=off", "-timeout", patience.String(), "-run", c.test}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	raw, err := exec.CommandContext(ctx, "go", append(args, "./"+c.in)...).CombinedOutput()
	said := string(raw)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return passed, said, ctx.Err()
	case err != nil && !errors.As(err, &exit):
		return passed, said, err
	case strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]"):
		return unbuilt, said, nil
	case err != nil:
		return failed, said, nil //nolint:nilerr // a check that fails is what is hoped for
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
