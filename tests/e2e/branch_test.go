package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var diffBlock = regexp.MustCompile("(?s)```diff\n(.*?)```")

// branchBuild builds the program with a change of Decide, as a page shows it.
func branchBuild(t *testing.T, page string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "millrace")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", changed(t, page), "-o", program, "millrace/cmd/millrace").CombinedOutput(); err != nil {
		t.Fatalf("build the branch: %v\n%s", err, out)
	}
	return program
}

// changed makes the overlay of a change of Decide, as a page shows it, for the go command.
func changed(t *testing.T, page string) string {
	t.Helper()
	diff := diffBlock.FindStringSubmatch(page)
	if diff == nil {
		t.Fatal("the page shows no change")
	}
	var before, after strings.Builder
	for line := range strings.Lines(diff[1]) {
		if line[0] != '+' {
			before.WriteString(line[1:])
		}
		if line[0] != '-' {
			after.WriteString(line[1:])
		}
	}
	source, err := filepath.Abs("../../sagas/order/decide.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), before.String()); n != 1 {
		t.Fatalf("what the page changes stands in decide.go %d times", n)
	}
	dir := t.TempDir()
	copied, overlay := filepath.Join(dir, "decide.go"), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{copied: strings.Replace(string(text), before.String(), after.String(), 1), overlay: string(replaced)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
