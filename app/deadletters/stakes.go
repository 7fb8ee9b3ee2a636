package deadletters

import (
	"fmt"

	"millrace/domain/money"
)

// Stakes is what can come of an act on letters in the outside world: by the letters that it hands to
// their handlers again, and by the messages parked behind them, whose turn it brings. It is what can come of it, and
// not what will: a letter that is refused again does nothing. What goes on because of an answer (an order that a
// saga takes up again) charges and mails as it always does, and is not counted.
type Stakes struct {
	Deduplicated int              `json:"deduplicated"` // letters and parked messages that took effect already, by inbox or intent: they do nothing again
	Unreadable   int              `json:"unreadable"`   // those for a handler that charges, gives back or mails, which this build cannot read
	Mails        int              `json:"mails"`
	Captures     map[string]int64 `json:"captures"` // minor units that can be charged, by currency
	Refunds      map[string]int64 `json:"refunds"`  // minor units that can be given back, by currency
}

// NoStakes is nothing at all.
func NoStakes() Stakes {
	return Stakes{Captures: map[string]int64{}, Refunds: map[string]int64{}}
}

// Moves says whether a mail or money can go out. What cannot be read may do either.
func (s Stakes) Moves() bool {
	return s.Mails > 0 || s.Unreadable > 0 || len(s.Captures) > 0 || len(s.Refunds) > 0
}

// Add sums up.
func (s *Stakes) Add(other Stakes) {
	s.Deduplicated += other.Deduplicated
	s.Unreadable += other.Unreadable
	s.Mails += other.Mails
	for currency, amount := range other.Captures {
		s.Captures[currency] += amount
	}
	for currency, amount := range other.Refunds {
		s.Refunds[currency] += amount
	}
}

// String is the stakes in words.
func (s Stakes) String() string {
	text := fmt.Sprintf("%d mails, %s charged, %s given back", s.Mails, money.Sums(s.Captures), money.Sums(s.Refunds))
	if s.Deduplicated > 0 {
		text += fmt.Sprintf(", %d done already", s.Deduplicated)
	}
	if s.Unreadable > 0 {
		text += fmt.Sprintf(", %d that cannot be read", s.Unreadable)
	}
	return text
}

// Totals sums the items of a plan up.
type Totals struct {
	Letters int `json:"letters"`
	Parked  int `json:"parked"` // messages behind them
	Stakes
}
