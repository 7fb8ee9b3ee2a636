package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// file is a path of this repository in a page's code.
var file = regexp.MustCompile("`((?:adapters|app|cmd|deploy|docs|ports|sagas|scripts|tests)/[^` ]+\\.[a-z]+)`")

func TestFilesThatTheOutboxPageNamesExist(t *testing.T) {
	t.Parallel()
	const page = "../docs/outbox.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := file.FindAllStringSubmatch(string(text), -1)
	if len(found) < 8 {
		t.Errorf("only %d files were found in %s: the pattern has lost them", len(found), page)
	}
	for _, f := range found {
		if _, err := os.Stat(filepath.Join("..", f[1])); err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
}
