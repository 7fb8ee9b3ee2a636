package notification

import (
	"context"

	"millrace/domain/intent"
	"millrace/domain/money"
)

// DryRun is Work that keeps nothing: the service's own use cases run over it, and it says which mails
// they would have intended. It is for one caller.
type DryRun struct{ intends []intent.Intent }

// NewDryRun begins one.
func NewDryRun() *DryRun { return &DryRun{} }

var (
	_ Work = (*DryRun)(nil)
	_ Tx   = (*DryRun)(nil)
)

// Do runs fn and commits nothing.
func (d *DryRun) Do(_ context.Context, fn func(Tx) error) error { return fn(d) }

// Keep does nothing: one notice does not depend on another.
func (d *DryRun) Keep(Notice) {}

// Sent does nothing.
func (d *DryRun) Sent(string) {}

// Intend notes the act.
func (d *DryRun) Intend(in intent.Intent) { d.intends = append(d.intends, in) }

// Settle does nothing: no intent has an end here.
func (d *DryRun) Settle(intent.Intent) {}

// Intended gives what was intended since it was asked last.
func (d *DryRun) Intended() []intent.Effect {
	var all []intent.Effect
	for _, in := range d.intends {
		all = append(all, intent.Effect{ID: in.ID, Kind: in.Kind, Amount: money.Of(0, money.None)})
	}
	d.intends = nil
	return all
}

// Retried gives what a mail that was refused does if it is tried again: it goes out.
func (d *DryRun) Retried(_ context.Context, in intent.Intent) ([]intent.Effect, error) {
	if in.Kind != intent.Mail {
		return nil, nil
	}
	return []intent.Effect{{ID: in.ID, Kind: intent.Mail, Amount: money.Of(0, money.None)}}, nil
}
