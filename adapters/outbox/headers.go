package outbox

import (
	"encoding/json"
	"slices"
	"strings"
)

// formatHeaders writes headers as they are stored: a JSON object of strings, its members in order.
func formatHeaders(headers map[string]string) string {
	names := make([]string, 0, len(headers))
	size := 2
	for name, value := range headers {
		names = append(names, name)
		size += len(name) + len(value) + 6
	}
	slices.Sort(names)
	b := append(make([]byte, 0, size), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, headers[name])
	}
	return string(append(b, '}'))
}

// parseHeaders reads what is stored. It fails when that is not a JSON object of strings.
func parseHeaders(text string) (map[string]string, error) {
	if headers, ok := plainHeaders(text); ok {
		return headers, nil
	}
	var headers map[string]string
	err := json.Unmarshal([]byte(text), &headers)
	return headers, err
}

// plainHeaders reads what formatHeaders writes of strings without escapes, which is nearly all there
// is, without encoding/json's cost. ok is false for everything else.
func plainHeaders(text string) (headers map[string]string, ok bool) {
	rest, opened := strings.CutPrefix(text, "{")
	if !opened || !plainButQuotes(text) {
		return nil, false
	}
	headers = make(map[string]string, strings.Count(rest, ":"))
	if rest == "}" {
		return headers, true
	}
	for {
		var name, value string
		if name, rest, ok = quoted(rest); !ok {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(rest, ":"); !ok {
			return nil, false
		}
		if value, rest, ok = quoted(rest); !ok {
			return nil, false
		}
		headers[name] = value
		if rest == "}" {
			return headers, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
	}
}

// quoted takes a string in quotes off the front.
func quoted(text string) (s, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, `"`)
	if !ok {
		return "", text, false
	}
	return strings.Cut(rest, `"`)
}

func plainButQuotes(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}
