package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	saga "millrace/sagas/order"
)

// Failed is the outcome of an attempt that failed: it has an entry and had no effect.
const Failed = "failed"

// History is everything that reached one saga, and where the saga says that it is.
type History struct {
	Saga    Saga
	Entries []Entry // by Seq
}

// Saga is a saga as it was stored when its history was read.
type Saga struct {
	OrderID    string          `json:"orderId"`
	Definition int             `json:"definition"` // version that decides for it
	State      json.RawMessage `json:"state"`      // null before its first message
	Entries    int             `json:"entries"`    // how many it has written
	Hash       string          `json:"hash"`       // of the last
}

// Entry is one line of a journal, in the shape in which it was hashed.
type Entry struct {
	OrderID    string          `json:"orderId"`
	Seq        int             `json:"seq"` // from 1
	At         time.Time       `json:"at"`  // UTC
	MessageID  string          `json:"messageId"`
	Type       string          `json:"type"`
	Payload    json.RawMessage `json:"payload"`
	Topic      string          `json:"topic"` // empty for a timer
	Partition  int32           `json:"partition"`
	Offset     int64           `json:"offset"`
	Definition int             `json:"definition"`
	Build      string          `json:"build"`
	Outcome    string          `json:"outcome"` // applied, held, absorbed or failed
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
	Sent       []Sent          `json:"sent"`
	Timers     Timers          `json:"timers"`
	Error      string          `json:"error"` // of a failed attempt
	Hash       string          `json:"-"`     // of the entry before it and of this one
}

// Sent is a message that the saga sent. Topic is empty in entries of builds that did not write it.
type Sent struct {
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	Topic string          `json:"topic,omitempty"`
	Data  json.RawMessage `json:"data"`
}

// Timers are those that a decision set and cleared.
type Timers struct {
	Set     []saga.Timer `json:"set"`
	Cleared []saga.Timer `json:"cleared"`
}

// Chain gives the hash of an entry behind the hash of the one before it, which is empty for the
// first: SHA-256 of both, where the entry is its JSON without the hash. It is what the engine
// writes.
func Chain(previous string, e Entry) (string, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode journal entry %d: %w", e.Seq, err)
	}
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Damage says why a history is not whole, and names the first entry that does not fit.
type Damage struct {
	Seq int
	Why string
}

// Error gives both.
func (d *Damage) Error() string { return fmt.Sprintf("entry %d: %s", d.Seq, d.Why) }

// Whole checks that nothing of a history is missing or changed: sequence, hashes, states that
// follow on each other, and the end that the saga knows. The error is a *Damage.
func Whole(h History) error {
	if len(h.Entries) == 0 {
		return &Damage{1, "the saga has no history"}
	}
	var hash string
	for i, e := range h.Entries {
		switch {
		case e.Seq != i+1:
			return &Damage{i + 1, "it is missing"}
		case e.OrderID != h.Saga.OrderID:
			return &Damage{e.Seq, "it is of the order " + e.OrderID}
		case i > 0 && !sameJSON(e.Before, h.Entries[i-1].After):
			return &Damage{e.Seq, "its state is not the one that the entry before it left"}
		case e.Outcome == Failed && (!sameJSON(e.Before, e.After) || len(e.Sent) > 0):
			return &Damage{e.Seq, "the attempt failed, and yet it had an effect"}
		}
		var err error
		if hash, err = Chain(hash, e); err != nil {
			return &Damage{e.Seq, err.Error()}
		}
		if hash != e.Hash {
			return &Damage{e.Seq, "its hash does not follow from what is written there and before"}
		}
	}
	last := h.Entries[len(h.Entries)-1]
	switch {
	case h.Saga.Entries != last.Seq:
		return &Damage{last.Seq + 1, fmt.Sprintf("the history has %d entries, the saga wrote %d", last.Seq, h.Saga.Entries)}
	case h.Saga.Hash != last.Hash:
		return &Damage{last.Seq, "the saga knows another last hash"}
	case !sameJSON(h.Saga.State, last.After):
		return &Damage{last.Seq, "the saga stands in another state than its last entry left"}
	}
	return nil
}

// sameJSON says whether two texts mean the same. Equal bytes, which is nearly always, cost nothing.
func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || len(differences("", decode(a), decode(b))) == 0
}
