package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace/domain/fault"
)

// value is any JSON value, as it was written. encoding/json alone would take other cases of a
// name, repeated names and null for anything, and would stop at the first wrong type.
type value struct {
	kind    kind
	text    string // of a string, or a number's literal
	members []member
	items   []value
}

type member struct {
	name  string
	value value
}

// kind is a JSON type, by the word that a caller is told.
type kind string

const (
	object  kind = "an object"
	array   kind = "an array"
	text    kind = "a string"
	number  kind = "a number"
	boolean kind = "a boolean"
	null    kind = "null"
)

// parse reads one JSON value and refuses anything after it. It fails with malformed_json.
func parse(body []byte) (value, error) {
	if !utf8.Valid(body) {
		return value{}, fault.Invalidf("malformed_json", "", "the body is not UTF-8")
	}
	// Token is lenient about commas, so the grammar is checked first.
	if !json.Valid(body) {
		return value{}, malformed(body, json.Unmarshal(body, new(json.RawMessage)))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := next(d)
	if err != nil {
		return value{}, malformed(body, err)
	}
	return v, nil
}

func malformed(body []byte, err error) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fault.Invalidf("malformed_json", "", "the body is empty")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fault.Invalidf("malformed_json", "", "the body is not one JSON value: %v, at byte %d", syntax, syntax.Offset)
	}
	return fault.Invalidf("malformed_json", "", "the body is not one JSON value: %v", err)
}

func next(d *json.Decoder) (value, error) {
	token, err := d.Token()
	if err != nil {
		return value{}, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return nextObject(d)
		}
		return nextArray(d)
	case string:
		return value{kind: text, text: t}, nil
	case json.Number:
		return value{kind: number, text: t.String()}, nil
	case bool:
		return value{kind: boolean}, nil
	default:
		return value{kind: null}, nil
	}
}

func nextObject(d *json.Decoder) (value, error) {
	v := value{kind: object}
	for d.More() {
		name, err := next(d)
		if err != nil {
			return value{}, err
		}
		inner, err := next(d)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{name.text, inner})
	}
	_, err := d.Token()
	return v, err
}

func nextArray(d *json.Decoder) (value, error) {
	v := value{kind: array}
	for d.More() {
		inner, err := next(d)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, inner)
	}
	_, err := d.Token()
	return v, err
}

// reading gathers everything that is wrong while a value is taken apart.
type reading struct{ wrong []error }

func (r *reading) refuse(code, pointer, format string, args ...any) {
	r.wrong = append(r.wrong, fault.Invalidf(code, pointer, format, args...))
}

func (r *reading) isA(v value, want kind, at string) bool {
	if v.kind != want {
		r.refuse("wrong_type", at, "this must be %s, and is %s", want, v.kind)
	}
	return v.kind == want
}

// object takes an object apart. It refuses members that are neither required nor optional,
// repeated ones, and the lack of a required one.
func (r *reading) object(v value, at string, required, optional []string) map[string]value {
	if !r.isA(v, object, at) {
		return nil
	}
	found := make(map[string]value, len(required)+len(optional))
	for _, m := range v.members {
		_, seen := found[m.name]
		switch {
		case !slices.Contains(required, m.name) && !slices.Contains(optional, m.name):
			r.refuse("unknown_field", below(at, m.name), "%.64q is not known here", m.name)
		case seen:
			r.refuse("duplicate_field", below(at, m.name), "%s stands there twice", m.name)
		default:
			found[m.name] = m.value
		}
	}
	for _, name := range required {
		if _, ok := found[name]; !ok {
			r.refuse("missing_field", below(at, name), "%s is missing", name)
		}
	}
	return found
}

// whole reads a whole number of 64 bits.
func (r *reading) whole(v value, at string) (int64, bool) {
	if !r.isA(v, number, at) {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		r.refuse("number_out_of_range", at, "this number does not fit into 64 bits")
	case err != nil:
		r.refuse("wrong_type", at, "this must be a whole number, written without fraction or exponent")
	}
	return n, err == nil
}

// below is the JSON pointer (RFC 6901) of a member. A name too long to be shown is left out.
func below(at, name string) string {
	if len(name) > 64 {
		return at
	}
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
