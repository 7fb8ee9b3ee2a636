package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// private are the members that say who the customer is or how they paid, and who acted and in which
// words. No other data of a message is about a person.
var private = map[string]bool{"userId": true, "paymentMethod": true, "paymentId": true, "authCode": true, "actor": true, "why": true}

// Redact gives a copy of a history in which every member that is about a person has a stand-in.
// The same value has the same stand-in wherever the salt is the same, so that the copy replays as
// the original does; without the salt nobody can find the value by trying. The copy has a chain of
// hashes of its own, and the texts of errors are gone. A history that is not whole is refused: its
// copy would look as if it were.
func Redact(h History, salt []byte) (History, error) {
	if err := Whole(h); err != nil {
		return History{}, fmt.Errorf("redact %s: %w", h.Saga.OrderID, err)
	}
	r := redaction{salt}
	out := History{Saga: h.Saga, Entries: make([]Entry, len(h.Entries))}
	_, hash := h.archived()
	var err error
	for i, e := range h.Entries {
		for _, text := range []*json.RawMessage{&e.Payload, &e.Before, &e.After} {
			if *text, err = r.text(*text); err != nil {
				return History{}, err
			}
		}
		sent := make([]Sent, len(e.Sent))
		for n, m := range e.Sent {
			if m.Data, err = r.text(m.Data); err != nil {
				return History{}, err
			}
			sent[n] = m
		}
		e.Sent = sent
		if e.Error != "" {
			e.Error = "redacted"
		}
		if hash, err = Chain(hash, e); err != nil {
			return History{}, err
		}
		e.Hash = hash
		out.Entries[i] = e
	}
	out.Saga.Hash = hash
	out.Saga.State, err = r.text(h.Saga.State)
	return out, err
}

type redaction struct{ salt []byte }

// text redacts one JSON text. Members come out in the order of their names, which no reader minds.
func (r redaction) text(from json.RawMessage) (json.RawMessage, error) {
	to, err := json.Marshal(r.value(decode(from)))
	if err != nil {
		return nil, fmt.Errorf("redact: %w", err)
	}
	return to, nil
}

func (r redaction) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if was, isText := member.(string); isText && private[name] && was != "" {
				v[name] = r.standIn(was)
				continue
			}
			v[name] = r.value(member)
		}
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	}
	return v
}

func (r redaction) standIn(was string) string {
	h := sha256.New()
	h.Write(r.salt)
	h.Write([]byte(was))
	return "redacted-" + hex.EncodeToString(h.Sum(nil)[:8])
}
