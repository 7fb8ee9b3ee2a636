package tests

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// diffBlock and consoleBlock are the fenced blocks of a page.
var (
	diffBlock    = regexp.MustCompile("(?s)```diff\n(.*?)```")
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
)

// The page's example is played: its change is made to a copy of Decide, two binaries are built, and
// each command says what the page says.
func TestTheExampleOfTheReplayPageHappensAsItStandsThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build(t, filepath.Join(bin, "millrace"))
	build(t, filepath.Join(bin, "branch", "millrace"), "-overlay", changed(t, root, string(page)))

	blocks := consoleBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 4 {
		t.Fatalf("the page has %d conversations: it has lost some", len(blocks))
	}
	for _, block := range blocks {
		code := 0
		for _, exchange := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(exchange, "\n")
			want = strings.TrimSuffix(want, "\n")
			if line == "echo $?" {
				if strconv.Itoa(code) != want {
					t.Errorf("the command before it ends with %d, the page says %s", code, want)
				}
				continue
			}
			var got string
			if got, code = said(t, root, bin, strings.Fields(line)); got != want {
				t.Errorf("$ %s says\n%s\nand the page\n%s", line, got, want)
			}
		}
	}
}

func build(t *testing.T, to string, flags ...string) {
	t.Helper()
	args := append(append([]string{"build"}, flags...), "-o", to, "../cmd/millrace")
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// changed makes an overlay in which the page's change is made.
func changed(t *testing.T, root, page string) string {
	t.Helper()
	diff := diffBlock.FindStringSubmatch(page)
	if diff == nil {
		t.Fatal("the page shows no change")
	}
	var before, after strings.Builder
	for _, line := range strings.SplitAfter(strings.TrimSuffix(diff[1], "\n"), "\n") {
		if line[0] != '+' {
			before.WriteString(line[1:])
		}
		if line[0] != '-' {
			after.WriteString(line[1:])
		}
	}
	source := filepath.Join(root, "sagas", "order", "decide.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), before.String()); n != 1 {
		t.Fatalf("what the page changes stands in decide.go %d times", n)
	}
	copied := filepath.Join(t.TempDir(), "decide.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(filepath.Dir(copied), "overlay.json")
	for path, content := range map[string]string{copied: strings.Replace(string(text), before.String(), after.String(), 1), written: string(overlay)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return written
}

// said runs a command of the page and gives its stdout and exit code.
func said(t *testing.T, root, bin string, words []string) (string, int) {
	t.Helper()
	for i, w := range words {
		if w == "millrace" || w == "branch/millrace" {
			words[i] = filepath.Join(bin, w)
		}
	}
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.Dir = root
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n"), c.ProcessState.ExitCode()
}
