package replay

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// difference is a place at which two JSON values part. A nil text stands for nothing.
type difference struct {
	path string
	a, b json.RawMessage
}

// Difference is a place at which two states of a saga part, as a JSON pointer. Null stands for a member
// that is not there.
type Difference struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Differences gives every place at which two states part; never nil.
func Differences(before, after json.RawMessage) []Difference {
	all := []Difference{}
	for _, d := range differences("", decode(before), decode(after)) {
		all = append(all, Difference{d.path, d.a, d.b})
	}
	return all
}

// decode reads JSON with its numbers as they are written: amounts are larger than a float's 53 bits
// allow. What is no JSON is taken as a text.
func decode(text json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(text)
	}
	return v
}

type nothing struct{}

// differences walks two values side by side and gives every place at which they part, as JSON
// pointers (RFC 6901) that begin with path.
func differences(path string, a, b any) []difference {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return differentMembers(path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok {
			return differentElements(path, a, b)
		}
	default:
		if _, deep := b.(map[string]any); deep {
			break
		}
		if _, deep := b.([]any); deep {
			break
		}
		if a == b {
			return nil
		}
	}
	return []difference{{path, text(a), text(b)}}
}

func differentMembers(path string, a, b map[string]any) []difference {
	var found []difference
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		found = append(found, differences(path+"/"+escaped.Replace(name), member(a, name), member(b, name))...)
	}
	return found
}

func member(of map[string]any, name string) any {
	if v, ok := of[name]; ok {
		return v
	}
	return nothing{}
}

func differentElements(path string, a, b []any) []difference {
	var found []difference
	for i := range max(len(a), len(b)) {
		var x, y any = nothing{}, nothing{}
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		found = append(found, differences(path+"/"+strconv.Itoa(i), x, y)...)
	}
	return found
}

var escaped = strings.NewReplacer("~", "~0", "/", "~1")

func text(v any) json.RawMessage {
	if _, none := v.(nothing); none {
		return nil
	}
	t, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return t
}

// under says whether a pointer lies at or below one of the patterns. A * in a pattern stands for
// any one step.
func under(path string, patterns []string) bool {
	steps := strings.Split(path, "/")
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		wanted := strings.Split(strings.TrimSuffix(pattern, "/"), "/")
		if len(wanted) > len(steps) {
			return false
		}
		for i, w := range wanted {
			if w != "*" && w != steps[i] {
				return false
			}
		}
		return true
	})
}
