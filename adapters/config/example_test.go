package config_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/adapters/config"
)

const example = "../../.env.example"

func TestTheExampleHasEverySettingWithItsDefaultAndAComment(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ name, value string }
	var got, want []row
	previous := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			got = append(got, row{name, value})
			if !strings.HasPrefix(previous, "# ") || strings.HasPrefix(previous, "# ---") {
				t.Errorf("%s has no comment above it", name)
			}
		}
		previous = line
	}
	for _, s := range loaded(t).Table() {
		want = append(want, row{s.Name, s.Value})
	}
	if !slices.Equal(got, want) {
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("missing or different: %s=%s", w.name, w.value)
			}
		}
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("not a setting, or not its default: %s=%s", g.name, g.value)
			}
		}
		t.Error("the example and the table are not the same, in the same order")
	}
}

func TestACopyOfTheExampleChangesNothing(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := config.Load(withFile(t, string(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := loaded(t).Table()
	for i, s := range copied.Table() {
		if s.Value != plain[i].Value {
			t.Errorf("%s becomes %q", s.Name, s.Value)
		}
	}
}

// The settings that scripts and docker-compose.yml hand to millrace have to exist.
func TestWhatComposeSetsIsKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "x-env: &env\n")
	block, _, found := strings.Cut(block, "\n\n")
	if !found {
		t.Fatal("docker-compose.yml has no x-env")
	}
	known := make(map[string]bool)
	for _, s := range loaded(t).Table() {
		known[s.Name] = true
	}
	var environ []string
	for _, line := range regexp.MustCompile(`(?m)^  ([A-Z_]+): "?([^"\s]+)`).FindAllStringSubmatch(block, -1) {
		environ = append(environ, line[1]+"="+line[2])
		if !known[line[1]] {
			t.Errorf("%s is no setting", line[1])
		}
	}
	if len(environ) < 10 {
		t.Fatalf("only %v was found", environ)
	}
	loaded(t, environ...)
}
