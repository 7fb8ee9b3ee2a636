package outbox

import (
	"encoding/json"
	"maps"
	"testing"
)

func TestHeadersAreWrittenAndReadAsJSON(t *testing.T) {
	t.Parallel()
	for _, headers := range []map[string]string{
		{},
		{"eventId": "0198f2a7-c1d0-7b7e-8000-000000000001", "eventType": "OrderCreated", "correlationId": "ord_1"},
		{"a": "", "": "b"},
		{"quote": `say "yes"`, "back": `\`, "line": "one\ntwo", "mark": "<&>", "word": "größer", "none": "\x00"},
	} {
		text := formatHeaders(headers)
		if want, err := json.Marshal(headers); err != nil || text != string(want) {
			t.Errorf("%v is written %s, want %s", headers, text, want)
		}
		if got, err := parseHeaders(text); err != nil || !maps.Equal(got, headers) {
			t.Errorf("%s is read as %v, %v", text, got, err)
		}
	}
}

// FuzzHeadersAreReadAsJSONReadsThem holds the quick way of reading against the thorough one.
func FuzzHeadersAreReadAsJSONReadsThem(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":"b"}`, `{"a":"b","c":"d"}`, `{"a":"b",}`, `{"a":1}`, `{"a":"b"`, `{"a" : "b"}`, `null`, `{"a":"b"}}`, `{"a":"b","a":"c"}`, ``, `{"a":null}`, `["a"]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]string
		wrong := json.Unmarshal([]byte(text), &want)
		got, err := parseHeaders(text)
		if (err != nil) != (wrong != nil) || err == nil && !maps.Equal(got, want) {
			t.Errorf("%q is read as %v, %v; JSON reads %v, %v", text, got, err, want, wrong)
		}
	})
}
