package audit

import "time"

// Record is what is kept of one act of an operator on a saga or on a dead letter, with what became of it.
type Record struct {
	At      time.Time `json:"at"`
	ID      string    `json:"id"`
	Act     string    `json:"act"`    // such as "saga redrive" or "dlq discard"
	Target  string    `json:"target"` // the order, or the letter
	OrderID string    `json:"orderId"`
	Version int       `json:"version"` // of the target, as it was planned
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
	Plan    string    `json:"plan"`    // its sha256
	Did     string    `json:"did"`     // what the act itself has sent
	Outcome string    `json:"outcome"` // the last that was heard: VERIFIED and so on; "" while nothing was
	Detail  string    `json:"detail"`  // of the outcome
}

// RecordFilter chooses records; what is zero chooses all. All of it must hold.
type RecordFilter struct {
	OrderID string
	Act     string // without what it was about: redrive, discard and so on
	Actor   string
	Plan    string
	Since   time.Time
	Until   time.Time
}
