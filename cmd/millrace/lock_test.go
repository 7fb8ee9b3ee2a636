package main

import (
	"strings"
	"testing"
)

func TestAFolderTellsWhoRunsOnItForAsLongAsItDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if h, runs := holderOfFolder(dir); runs {
		t.Errorf("nobody has run on it, and it tells of %+v", h)
	}
	first := holder{process: 4711, postgres: "db:5432/millrace", provider: "http://127.0.0.1:9086"}
	release, err := lockFolder(dir, first)
	if err != nil {
		t.Fatal(err)
	}
	if h, runs := holderOfFolder(dir); !runs || h != first {
		t.Errorf("it tells of %+v (%t), want %+v", h, runs, first)
	}
	if _, err := lockFolder(dir, holder{process: 4712}); err == nil || !strings.Contains(err.Error(), "is in use by process 4711: ") {
		t.Errorf("a second instance is told %v", err)
	}
	release()
	if h, runs := holderOfFolder(dir); runs {
		t.Errorf("it has ended, and the folder tells of %+v", h)
	}
	release, err = lockFolder(dir, holder{process: 4713}) // has less to say than the one before
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if h, runs := holderOfFolder(dir); !runs || h != (holder{process: 4713}) {
		t.Errorf("it tells of %+v (%t)", h, runs)
	}
}
