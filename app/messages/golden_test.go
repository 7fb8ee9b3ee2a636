package messages_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/app/messages"
)

// The golden files are what was once written to topics and may still lie there. They are never
// changed: a new form of a message gets a folder of a new version beside them.
const golden = "testdata/golden"

func TestEveryMessageOfTheCatalogueHasAGoldenFile(t *testing.T) {
	t.Parallel()
	for _, spec := range messages.Catalogue {
		if _, err := os.Stat(filepath.Join(golden, "v1", spec.Name+".json")); err != nil {
			t.Errorf("%s has none: %v", spec.Name, err)
		}
	}
}

func TestTodaysCodeReadsEveryMessageEverWritten(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(golden, "v*", "*.json"))
	if err != nil || len(files) < len(messages.Catalogue) {
		t.Fatalf("found %d golden files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			e, m := read(t, file)
			if want := strings.TrimSuffix(filepath.Base(file), ".json"); m.Name() != want || e.Type != want {
				t.Errorf("it holds a %s, read as %s", e.Type, m.Name())
			}
			if m.Order() != "ord_0198F2A7C1D04B7E" {
				t.Errorf("its order is %q", m.Order())
			}
		})
	}
}

func TestTodaysCodeWritesVersionOneByteForByte(t *testing.T) {
	t.Parallel()
	for _, spec := range messages.Catalogue {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(golden, "v1", spec.Name+".json")
			e, m := read(t, file)
			again, err := messages.Seal(e.EventID, e.TraceID, e.OccurredAt, m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Data, e.Data) {
				t.Errorf("the data was\n%s\nand is now\n%s", e.Data, again.Data)
			}
			whole, err := json.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if want := contents(t, file); !bytes.Equal(whole, want) {
				t.Errorf("the envelope was\n%s\nand is now\n%s", want, whole)
			}
		})
	}
}

func read(t *testing.T, file string) (messages.Envelope, messages.Message) {
	t.Helper()
	e, err := messages.Open(contents(t, file))
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Message()
	if err != nil {
		t.Fatal(err)
	}
	return e, m
}

func contents(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}
