package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// command is a line of a page's code that calls our binary or make.
var command = regexp.MustCompile("(?m)(?:^    |`)(bin/millrace|millrace|make) ([a-z][^`\\n#&|>]*)")

func TestCommandsOfThePagesExist(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "millrace")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/millrace").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	pages := []string{
		"../README.md", "../CONTRIBUTING.md", "../docs/walk.md", "../docs/topology.md", "../docs/operations.md",
		"../docs/outbox.md", "../docs/replay.md", "../docs/performance.md", "../docs/reliability.md",
		"../docs/load.md",
	}
	labs, err := filepath.Glob("../docs/labs/*.md")
	if err != nil || len(labs) == 0 {
		t.Fatalf("there are no labs: %v", err)
	}
	pages = append(pages, labs...)
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range command.FindAllStringSubmatch(string(text), -1) {
			program, words := c[1], strings.Fields(c[2])
			checked++
			if program == "make" {
				runs(t, page, exec.CommandContext(t.Context(), "make", "-n", "-C", "..", words[0]))
				continue
			}
			runs(t, page, exec.CommandContext(t.Context(), binary, append(verbAndFlags(words), "--help")...))
		}
	}
	if checked < 12 {
		t.Errorf("only %d commands were found in %v: the pattern has lost them", checked, pages)
	}
}

// verbAndFlags keeps what says which command is meant and which flags it has.
func verbAndFlags(words []string) []string {
	var kept []string
	for _, w := range words {
		w = strings.Trim(w, ",.;:)")
		if strings.HasPrefix(w, "ord_") {
			continue
		}
		kept = append(kept, w)
	}
	return kept
}

func runs(t *testing.T, page string, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s: `%s`: %v\n%s", page, strings.Join(c.Args[1:], " "), err, out)
	}
}
