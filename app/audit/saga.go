package audit

import (
	"encoding/json"
	"time"
)

// Query chooses sagas. Zero values do not restrict; all that is given must hold.
type Query struct {
	Orders  []string  // one of these orders
	Status  string    // of the order, such as CONFIRMED
	State   string    // step of the saga, such as awaiting_payment
	Reason  string    // such as out_of_stock
	User    string    // userId
	SKU     string    // one of the order's lines
	Version int       // of the definition that the saga began with
	Since   time.Time // order placed at or after
	Until   time.Time // order placed before
	Moved   time.Time // saga changed at or after
	Older   time.Duration
	Stuck   bool // open, and longer in its present step than any time-out would let it
	Limit   int  // how many are listed; 0 for all
}

// Sagas is an answer to a Query. Total and the counts are of every saga that it chooses, Items lists
// the newest of them.
type Sagas struct {
	Items    []Saga         `json:"items"`
	Total    int            `json:"total"`
	States   map[string]int `json:"states"`   // by step
	Reasons  map[string]int `json:"reasons"`  // of those that have one
	Versions map[int]int    `json:"versions"` // of the definition; of those that have begun
	Stuck    int            `json:"stuck"`
}

// Saga is where one order's saga is. An order whose saga has not begun is in the state new.
type Saga struct {
	OrderID    string    `json:"orderId"`
	UserID     string    `json:"userId"`
	Status     string    `json:"status"`
	State      string    `json:"state"`
	Reason     string    `json:"reason"`
	Currency   string    `json:"currency"`
	Total      int64     `json:"total"` // minor units
	Definition int       `json:"definition"`
	Version    int       `json:"version"` // moves with every change
	PlacedAt   time.Time `json:"placedAt"`
	EnteredAt  time.Time `json:"enteredAt"` // when it came into its present state
	Stuck      bool      `json:"stuck"`
}

// Definition counts the sagas of one version of the definition.
type Definition struct {
	Version int       `json:"version"`
	Open    int       `json:"open"`
	Ended   int       `json:"ended"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest open one was placed
}

// History is everything that reached one saga and what it decided.
type History struct {
	Saga    Saga            `json:"saga"`
	Inside  json.RawMessage `json:"inside"` // the saga's stored state; null before its first message
	Journal []Entry         `json:"journal"`
	Timers  []Timer         `json:"timers"` // that have not fired
	Chain   Chain           `json:"chain"`

	Archived *Archived `json:"archived,omitempty"`
	Traces   []string  `json:"traces"`      // ids of the traces in which it was handled, 32 hex digits; within the outbox's retention
	Letters  []Letter  `json:"deadLetters"` // of the order, at whatever service; those that are dealt with too
}

// Archived says that the first entries of a journal were put into a file, and are not in Journal.
type Archived struct {
	Entries int       `json:"entries"`
	Hash    string    `json:"hash"` // of the last of them
	File    string    `json:"file"` // its name in the folder of archives
	At      time.Time `json:"at"`
}

// Letter is a dead letter of the order, or a message that is parked behind one.
type Letter struct {
	ID      string    `json:"id"`
	Service string    `json:"service"`
	Handler string    `json:"handler"`
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	State   string    `json:"state"` // waiting, parked, redriving, done, discarded or settled
	At      time.Time `json:"at"`    // of its last attempt
}

// Entry is one line of the journal.
type Entry struct {
	Seq        int             `json:"seq"`
	At         time.Time       `json:"at"`
	MessageID  string          `json:"messageId"`
	Type       string          `json:"type"`
	Payload    json.RawMessage `json:"payload"`
	Topic      string          `json:"topic"` // empty for a timer
	Partition  int32           `json:"partition"`
	Offset     int64           `json:"offset"`
	Definition int             `json:"definition"`
	Build      string          `json:"build"`
	Outcome    string          `json:"outcome"` // applied, held, absorbed or failed
	From       string          `json:"from"`    // state before
	To         string          `json:"to"`      // state after
	Held       []string        `json:"held"`    // messages that had come before their cause, by name
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
	Sent       []Sent          `json:"sent"`
	Set        []string        `json:"timersSet"`
	Cleared    []string        `json:"timersCleared"`
	Error      string          `json:"error"` // of a failed attempt
	Hash       string          `json:"hash"`
}

// Sent is a message that the saga sent.
type Sent struct {
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	Topic string          `json:"topic,omitempty"` // older entries have none
	Data  json.RawMessage `json:"data"`
}

// Timer is a time-out that is still to come.
type Timer struct {
	Name  string    `json:"name"`
	Entry int       `json:"entry"`
	Due   time.Time `json:"due"`
}

// Chain says whether the journal is whole: every entry carries the hash of the one before it, and
// the saga knows the last.
type Chain struct {
	OK       bool   `json:"ok"`
	Entries  int    `json:"entries"`
	BrokenAt int    `json:"brokenAt,omitempty"` // seq of the first entry that does not fit
	Why      string `json:"why,omitempty"`
}
