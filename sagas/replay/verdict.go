package replay

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Verdict is what became of one history.
type Verdict string

// The verdicts.
const (
	OK           Verdict = "OK"           // decided again as it was
	Diverged     Verdict = "DIVERGED"     // today's code would have decided otherwise
	Unreplayable Verdict = "UNREPLAYABLE" // nothing can be said: damaged, or not readable by this build
)

// Class says in what a decision differs.
type Class string

// The classes.
const (
	MissingMessage   Class = "missing_message"   // it was sent then and would not be now
	ExtraMessage     Class = "extra_message"     // it would be sent now and was not then
	OtherMessage     Class = "other_message"     // another type, or to another address
	Payload          Class = "payload"           // the same message with other data, or another id
	StateDiffers     Class = "state"             // the saga would stand elsewhere
	TimerDiffers     Class = "timer"             // another time-out set or cleared
	TerminalOutcome  Class = "terminal_outcome"  // the order would end otherwise, or at another time
	NotDeterministic Class = "not_deterministic" // the same input, decided twice, gave two answers
	Panicked         Class = "panicked"          // the decision ended in a panic
	MissingHistory   Class = "missing_history"   // damaged or incomplete; UNREPLAYABLE
	UnknownHistory   Class = "unknown_history"   // a message that this build cannot read whole; UNREPLAYABLE
	NoDefinition     Class = "no_definition"     // no code for the version; UNREPLAYABLE
)

// Severity says whom a divergence would hurt.
type Severity string

// The severities, the worst first.
const (
	Money    Severity = "money"    // an amount, a refund, or whether the customer is charged
	Goods    Severity = "goods"    // what is set aside
	Customer Severity = "customer" // what the customer is told, or for how long an order stands still
	Internal Severity = "internal" // the saga's own books
	Unknown  Severity = "unknown"  // nothing can be said
)

var bySeverity = []Severity{Money, Goods, Customer, Internal, Unknown}

// Divergence is one difference between what was decided and what would be.
type Divergence struct {
	Seq      int             `json:"seq"` // of the entry
	On       string          `json:"on"`  // the message's type
	Class    Class           `json:"class"`
	Severity Severity        `json:"severity"`
	Path     string          `json:"path"` // JSON pointer (RFC 6901) into the entry
	Recorded json.RawMessage `json:"recorded,omitempty"`
	Replayed json.RawMessage `json:"replayed,omitempty"`
	Detail   string          `json:"detail,omitempty"` // where the two say too little
}

// String is a line for people.
func (d Divergence) String() string {
	text := fmt.Sprintf("entry %d on %s: %s (%s) at %s", d.Seq, d.On, d.Class, d.Severity, d.Path)
	if d.Recorded != nil || d.Replayed != nil {
		text += fmt.Sprintf(": recorded %s, replayed %s", orNothing(d.Recorded), orNothing(d.Replayed))
	}
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return text
}

func orNothing(text json.RawMessage) string {
	if text == nil {
		return "nothing"
	}
	return string(text)
}

// Result is what replay says of one history. Divergences are those of the first entry that
// differs, the worst first: what comes behind it follows from them.
type Result struct {
	OrderID     string       `json:"orderId"`
	Verdict     Verdict      `json:"verdict"`
	Definition  int          `json:"definition"` // that decided again
	Entries     int          `json:"entries"`
	Divergences []Divergence `json:"divergences"`
	Decisions   []Made       `json:"decisions,omitempty"` // where they were asked for
}

// First is the worst divergence of the first entry that differs.
func (r Result) First() (Divergence, bool) {
	if len(r.Divergences) == 0 {
		return Divergence{}, false
	}
	return r.Divergences[0], true
}

// Summary counts results.
type Summary struct {
	Sagas        int              `json:"sagas"`
	Entries      int              `json:"entries"`
	OK           int              `json:"ok"`
	Diverged     int              `json:"diverged"`
	Unreplayable int              `json:"unreplayable"`
	NoDefinition int              `json:"noDefinition"` // of the unreplayable: for want of code
	Classes      map[Class]int    `json:"classes"`      // by the first divergence of each
	Severities   map[Severity]int `json:"severities"`   // likewise
}

// Add counts one result.
func (s *Summary) Add(r Result) {
	if s.Classes == nil {
		s.Classes, s.Severities = map[Class]int{}, map[Severity]int{}
	}
	s.Sagas++
	s.Entries += r.Entries
	switch r.Verdict {
	case OK:
		s.OK++
	case Diverged:
		s.Diverged++
	default:
		s.Unreplayable++
	}
	first, ok := r.First()
	if !ok {
		return
	}
	s.Classes[first.Class]++
	s.Severities[first.Severity]++
	if first.Class == NoDefinition {
		s.NoDefinition++
	}
}

// worstFirst sorts by severity and keeps the order of what is equally bad.
func worstFirst(all []Divergence) {
	slices.SortStableFunc(all, func(a, b Divergence) int {
		return slices.Index(bySeverity, a.Severity) - slices.Index(bySeverity, b.Severity)
	})
}
