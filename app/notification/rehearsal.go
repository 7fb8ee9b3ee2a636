package notification

import (
	"context"

	"millrace/domain/intent"
	"millrace/domain/money"
)

// Rehearsal is Work that keeps nothing: the service's own use cases run over it, and it says which mails
// they would have intended. It is for one caller.
type Rehearsal struct{ intends []intent.Intent }

// NewRehearsal begins one.
func NewRehearsal() *Rehearsal { return &Rehearsal{} }

var (
	_ Work = (*Rehearsal)(nil)
	_ Tx   = (*Rehearsal)(nil)
)

// Do runs fn and commits nothing.
func (r *Rehearsal) Do(_ context.Context, fn func(Tx) error) error { return fn(r) }

// Keep does nothing: one notice does not depend on another.
func (r *Rehearsal) Keep(Notice) {}

// Sent does nothing.
func (r *Rehearsal) Sent(string) {}

// Intend notes the act.
func (r *Rehearsal) Intend(in intent.Intent) { r.intends = append(r.intends, in) }

// Settle does nothing: no intent has an end here.
func (r *Rehearsal) Settle(intent.Intent) {}

// Intended gives what was intended since it was asked last.
func (r *Rehearsal) Intended() []intent.Stake {
	var all []intent.Stake
	for _, in := range r.intends {
		all = append(all, intent.Stake{ID: in.ID, Kind: in.Kind, Amount: money.Of(0, money.None)})
	}
	r.intends = nil
	return all
}

// Retried gives what a mail that was refused does if it is tried again: it goes out.
func (r *Rehearsal) Retried(_ context.Context, in intent.Intent) ([]intent.Stake, error) {
	if in.Kind != intent.Mail {
		return nil, nil
	}
	return []intent.Stake{{ID: in.ID, Kind: intent.Mail, Amount: money.Of(0, money.None)}}, nil
}
