package messages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// seeds are every message ever written, and what is nearly one.
func seeds(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/v*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d golden files, error %v", len(files), err)
	}
	var all []string
	for _, file := range files {
		value, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(string(value)))
	}
	one := all[0]
	head, data, _ := strings.Cut(one, `,"data":`)
	return append(all, "", "{}", head+"}", head, one+" ", " "+one, one[:len(one)-1],
		strings.Replace(one, `"type"`, `"Type"`, 1),
		strings.Replace(one, `"type":"`, `"type":"\u0041`, 1),
		strings.Replace(one, `"type":"`, "\"type\":\"\xff", 1),
		strings.Replace(one, `"occurredAt":"`, `"occurredAt":"x`, 1),
		head+`,"data":{},"type":"Another"}`,
		head+`,"data":{"a":1}{}}`,
		head+`,"more":1,"data":`+data,
		head+`,"data": `+data,
		strings.Replace(one, `,"traceId":"`, `,"traceId":null,"traceId":"`, 1),
	)
}

// same says whether the quick way reads value as encoding/json does, where it reads it at all.
func same(t *testing.T, value string) (quick bool) {
	t.Helper()
	e, ok := written([]byte(value))
	if !ok {
		return false
	}
	var want Envelope
	if err := json.Unmarshal([]byte(value), &want); err != nil {
		t.Errorf("%q was read, which is wrong: %v", value, err)
	} else if !reflect.DeepEqual(e, want) {
		t.Errorf("%q was read as\n%+v, and is\n%+v", value, e, want)
	}
	if name, ok := TypeOf([]byte(value)); ok && name != want.Type && len(want.EventID) == 36 && len(want.TraceID) == 32 {
		t.Errorf("the type of %q is said to be %q", value, name)
	}
	return true
}

func TestAnEnvelopeIsReadTheQuickWayAsTheSlowWayReadsIt(t *testing.T) {
	t.Parallel()
	quick := 0
	for _, value := range seeds(t) {
		if same(t, value) {
			quick++
		}
	}
	if quick < len(Catalogue) {
		t.Errorf("%d envelopes were read the quick way, and there are %d types of messages", quick, len(Catalogue))
	}
}

func FuzzWritten(f *testing.F) {
	for _, value := range seeds(f) {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) { same(t, value) })
}
