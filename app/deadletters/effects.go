package deadletters

import (
	"fmt"

	"millrace/domain/money"
)

// Effects is what can come of an act on letters in the outside world: by the letters that it hands to
// their handlers again, and by the messages parked behind them, whose turn it brings. It is what can come of it, and
// not what will: a letter that is refused again does nothing. What goes on because of an answer (an order that a
// saga takes up again) charges and mails as it always does, and is not counted.
type Effects struct {
	Deduplicated int              `json:"deduplicated"` // letters and parked messages that took effect already, by inbox or intent: they do nothing again
	Unreadable   int              `json:"unreadable"`   // those for a handler that charges, gives back or mails, which this build cannot read
	Mails        int              `json:"mails"`
	Captures     map[string]int64 `json:"captures"` // minor units that can be charged, by currency
	Refunds      map[string]int64 `json:"refunds"`  // minor units that can be given back, by currency
}

// NoEffects is nothing at all.
func NoEffects() Effects {
	return Effects{Captures: map[string]int64{}, Refunds: map[string]int64{}}
}

// Moves says whether a mail or money can go out. What cannot be read may do either.
func (e Effects) Moves() bool {
	return e.Mails > 0 || e.Unreadable > 0 || len(e.Captures) > 0 || len(e.Refunds) > 0
}

// Add sums up.
func (e *Effects) Add(other Effects) {
	e.Deduplicated += other.Deduplicated
	e.Unreadable += other.Unreadable
	e.Mails += other.Mails
	for currency, amount := range other.Captures {
		e.Captures[currency] += amount
	}
	for currency, amount := range other.Refunds {
		e.Refunds[currency] += amount
	}
}

// String is the effects in words.
func (e Effects) String() string {
	text := fmt.Sprintf("%d mails, %s charged, %s given back", e.Mails, money.Sums(e.Captures), money.Sums(e.Refunds))
	if e.Deduplicated > 0 {
		text += fmt.Sprintf(", %d done already", e.Deduplicated)
	}
	if e.Unreadable > 0 {
		text += fmt.Sprintf(", %d that cannot be read", e.Unreadable)
	}
	return text
}

// Totals sums the items of a plan up.
type Totals struct {
	Letters int `json:"letters"`
	Parked  int `json:"parked"` // messages behind them
	Effects
}
