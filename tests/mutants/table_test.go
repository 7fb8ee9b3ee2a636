package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func TestEveryMutantStillFindsItsText(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range mutants {
		if seen[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		seen[m.name] = true
		text, err := m.mistaken(root)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if text == string(raw) {
			t.Errorf("%s changes nothing", m.name)
		}
	}
}

var function = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

func TestEveryCheckIsATestThatExists(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		if len(m.checks) == 0 {
			t.Errorf("%s has no check", m.name)
		}
		for _, c := range m.checks {
			files, err := filepath.Glob(filepath.Join(root, c.in, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			top, _, _ := strings.Cut(c.test, "/")
			pattern, found := regexp.MustCompile(top), false
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, match := range function.FindAllStringSubmatch(string(raw), -1) {
					found = found || pattern.MatchString(match[1])
				}
			}
			if !found {
				t.Errorf("%s: %s is no test", m.name, c)
			}
		}
	}
}

func TestAMutantWhoseTextIsGoneIsRotten(t *testing.T) {
	t.Parallel()
	for _, old := range []string{"no such text is anywhere", "package"} { // none, and many
		m := mutant{file: "tests/mutants/mutant.go", edits: one(old, "x")}
		if _, err := m.mistaken(root); err == nil {
			t.Errorf("a mutant of %q was made", old)
		}
	}
}

func TestAPartThatWasSkippedIsNoCheck(t *testing.T) {
	t.Parallel()
	const skipped = "--- PASS: TestA (0.00s)\n    --- SKIP: TestA/postgres (0.00s)\n"
	for said, want := range map[string]bool{
		skipped: true,
		skipped + "    --- PASS: TestA/sqlite (0.00s)\n": false,
		"--- PASS: TestA (0.00s)\n":                      false,
	} {
		if got := deepestSkipped(said); got != want {
			t.Errorf("%t for\n%s", got, said)
		}
	}
}

func TestTheReadmeHasTheTableAsItIs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), listed()) {
		t.Error("README.md has another table than table.go: put what go run ./tests/mutants -list prints there")
	}
}

func TestACheckThatDoesNotEndIsToldFromOneThatFails(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		"panic: test timed out after 30s\n\trunning tests:\n": true,
		"--- FAIL: TestA (0.00s)\n":                           false,
	} {
		if got := hung(said); got != want {
			t.Errorf("%t for\n%s", got, said)
		}
	}
}
