package intent

import "millrace/domain/money"

// Effect is what an act would do in the outside world if it were carried out now, for an operator who
// has to decide whether it may be.
type Effect struct {
	ID     string       // the act's, which is its key: twice the same is one act
	Kind   Kind         // Capture, Refund or Mail; no other does anything outside that a customer sees
	Amount money.Amount // what would be charged or given back; nothing for a mail
}
