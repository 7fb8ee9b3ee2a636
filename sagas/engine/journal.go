package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"millrace/app/messages"
	saga "millrace/sagas/order"
)

// OutcomeFailed marks the entry of an attempt that failed; the others are the verdicts of the
// saga: applied, held, absorbed.
const OutcomeFailed = "failed"

// Entry is one line of a saga's journal: what came, what was decided, what was sent.
type Entry struct {
	OrderID    string          `json:"orderId"`
	Seq        int             `json:"seq"` // from 1
	At         time.Time       `json:"at"`
	MessageID  string          `json:"messageId"`
	Type       string          `json:"type"`
	Payload    json.RawMessage `json:"payload"`
	Topic      string          `json:"topic"` // empty for a timer
	Partition  int32           `json:"partition"`
	Offset     int64           `json:"offset"`
	Definition int             `json:"definition"`
	Build      string          `json:"build"`
	Outcome    string          `json:"outcome"`
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
	Sent       []Sent          `json:"sent"`
	Timers     Timers          `json:"timers"`
	Error      string          `json:"error"` // of a failed attempt
	Hash       string          `json:"-"`     // of the entry before it and of this one
}

// Sent is a message that the saga sent.
type Sent struct {
	ID    string           `json:"id"`
	Type  string           `json:"type"`
	Topic string           `json:"topic,omitempty"` // older entries have none, and keep their hash
	Data  messages.Message `json:"data"`
}

// Timers are those that a decision set and cleared.
type Timers struct {
	Set     []saga.Timer `json:"set"`
	Cleared []saga.Timer `json:"cleared"`
}

// Chain gives the hash of an entry behind the hash of the one before it, which is empty for the
// first: SHA-256 of both, where the entry is its JSON without the hash.
func Chain(previous string, e Entry) (string, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode journal entry: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)), nil
}
