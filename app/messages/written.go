package messages

import (
	"bytes"
	"encoding/json"
)

// written reads an envelope that stands as Encode writes it: its members in their order, without blanks and
// escapes. What it reads is what encoding/json reads, in less time. ok is false for everything else, which
// encoding/json must judge.
func written(value []byte) (e Envelope, ok bool) {
	rest := value
	member := func(opening string) (text []byte) {
		if !ok {
			return nil
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(opening)); !ok {
			return nil
		}
		end := bytes.IndexByte(rest, '"')
		if ok = end >= 0 && plain(rest[:end]); !ok {
			return nil
		}
		text, rest = rest[:end], rest[end+1:]
		return text
	}
	ok = true
	e.EventID = string(member(`{"eventId":"`))
	e.TraceID = string(member(`,"traceId":"`))
	e.Type = string(member(`,"type":"`))
	at := member(`,"occurredAt":"`)
	if !ok {
		return Envelope{}, false
	}
	data, opened := bytes.CutPrefix(rest, []byte(`,"data":`))
	data, closed := bytes.CutSuffix(data, []byte("}"))
	object := bytes.HasPrefix(data, []byte("{")) && bytes.HasSuffix(data, []byte("}")) // and no blanks around it
	if !opened || !closed || !object || !json.Valid(data) || e.OccurredAt.UnmarshalText(at) != nil {
		return Envelope{}, false
	}
	e.Data = bytes.Clone(data)
	return e, true
}

// plain says whether text in JSON stands for itself.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// TypeOf gives the type that an envelope of ours names, by its place and without reading the rest. Of anything
// else it may say anything: whether value is an envelope is for Open to say.
func TypeOf(value []byte) (name string, ok bool) {
	const opening, uuid, trace = `{"eventId":"`, 36, 32
	const at = len(opening) + uuid + len(`","traceId":"`) + trace
	if len(value) < at {
		return "", false
	}
	rest, ok := bytes.CutPrefix(value[at:], []byte(`","type":"`))
	if !ok {
		return "", false
	}
	text, _, ok := bytes.Cut(rest, []byte(`"`))
	return string(text), ok
}
