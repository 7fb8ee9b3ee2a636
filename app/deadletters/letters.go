package deadletters

import (
	"time"

	"millrace/domain/fault"
)

// The states of a letter.
const (
	Waiting   = "waiting"   // for a person
	Parked    = "parked"    // behind another one of its order; it was never tried
	Redriving = "redriving" // sent again, and its outcome is not known yet
	Done      = "done"      // it took effect after all
	Discarded = "discarded" // a person has decided that it never will
	Settled   = "settled"   // a person has said what became of the act
)

// States are all of them.
var States = []string{Waiting, Parked, Redriving, Done, Discarded, Settled}

// Letter is a dead letter, or a message that is parked behind one, without its bytes.
type Letter struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Version  int    `json:"version"` // moves with every change
	Service  string `json:"service"`
	Consumer string `json:"consumer"` // the consumer group; "intent_refund" and so on for an act
	Handler  string `json:"handler"`
	OrderID  string `json:"orderId"` // "" when the record does not say
	Type     string `json:"type"`
	Reason   string `json:"reason"` // code of the fault
	Redrives int    `json:"redrives"`
	Attempts int    `json:"attempts"`
	Position int    `json:"position"` // in its order's sequence at the consumer
	Parked   int    `json:"parked"`   // messages that wait behind it

	FirstAt time.Time `json:"firstAt"` // first attempt
	LastAt  time.Time `json:"lastAt"`  // last attempt
}

// Whole is everything that is known about a letter.
type Whole struct {
	Letter
	MessageID string            `json:"messageId"`
	Topic     string            `json:"topic"` // where it was read; "" for an act
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       []byte            `json:"key"`     // base64 in JSON
	Payload   []byte            `json:"payload"` // base64 in JSON
	Headers   map[string]string `json:"headers"`
	Error     string            `json:"error"` // the whole chain
	Behind    []Letter          `json:"behind"`
	Log       []Line            `json:"log"`
}

// Line is one thing that was done about a letter.
type Line struct {
	At     time.Time `json:"at"`
	Act    string    `json:"act"`
	Actor  string    `json:"actor"` // "" for the system itself
	Reason string    `json:"reason"`
}

// Filter chooses letters; what is zero chooses all. All of it must hold.
type Filter struct {
	ID      string
	State   string
	Service string
	Handler string
	Reason  string
	OrderID string
	Type    string
	Since   time.Time // last attempt not before
	Until   time.Time // last attempt before
}

// Progress is where a letter is now.
type Progress struct {
	State   string
	Version int
	Reason  string
	Error   string
	// Handled: the inbox, or the act itself, says that it took effect.
	Handled bool
	// Blocked: it is parked, and a waiting letter is in front of it.
	Blocked bool
}

// Faults of acting on a letter.
var (
	ErrNoLetter  = fault.New(fault.NotFound, "no_such_letter", "there is no dead letter with that id: `millrace dlq list --each` shows those there are")
	ErrChanged   = fault.New(fault.Conflict, "letter_changed", "it has changed since the plan was made")
	ErrLeaseHeld = fault.New(fault.Conflict, "order_in_hand", "another apply has the order in hand")
	ErrBehind    = fault.New(fault.Conflict, "letter_behind", "another dead letter of its order is in front of it")
)
