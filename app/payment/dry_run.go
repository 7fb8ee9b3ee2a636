package payment

import (
	"context"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// DryRun is Work that keeps nothing: the service's own use cases run over it, and it says what acts they
// would have intended and how much money each is about. It reads payments as they are, and what one
// use case would have kept the next one sees. So what a preview says follows from the code that will do it. It
// is for one caller.
type DryRun struct {
	stored  Payments
	known   map[string]*payment.Payment
	intends []intent.Intent
}

// NewDryRun begins one over payments as they are stored.
func NewDryRun(stored Payments) *DryRun {
	return &DryRun{stored: stored, known: map[string]*payment.Payment{}}
}

var (
	_ Work = (*DryRun)(nil)
	_ Tx   = (*DryRun)(nil)
)

// Do runs fn and commits nothing.
func (d *DryRun) Do(_ context.Context, fn func(Tx) error) error { return fn(d) }

// Payments gives payments as they would be by now. Nothing is locked.
func (d *DryRun) Payments(ctx context.Context, orderIDs ...string) (map[string]*payment.Payment, error) {
	found := map[string]*payment.Payment{}
	for _, id := range orderIDs {
		p := d.known[id]
		if p == nil {
			var err error
			p, err = d.stored.Payment(ctx, id)
			if err != nil && fault.KindOf(err) == fault.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			p = payment.Restore(p.Snapshot()) // a dry run moves a copy
		}
		found[id] = p
	}
	return found, nil
}

// Keep remembers the payment for the next use case.
func (d *DryRun) Keep(p *payment.Payment) { d.known[p.OrderID()] = p }

// Intend notes the act.
func (d *DryRun) Intend(in intent.Intent) { d.intends = append(d.intends, in) }

// Settle does nothing: no intent has an end here.
func (d *DryRun) Settle(intent.Intent) {}

// Close does nothing.
func (d *DryRun) Close(string) {}

// Publish tells nobody.
func (d *DryRun) Publish(messages.Message) error { return nil }

// Intended gives what was intended since it was asked last. To bar a charge whose fate is not known counts
// as giving it back: that is what follows when it turns out to have happened.
func (d *DryRun) Intended() []intent.Effect {
	var all []intent.Effect
	for _, in := range d.intends {
		e := intent.Effect{ID: in.ID, Kind: in.Kind, Amount: money.Of(0, money.None)}
		if p := d.known[in.OrderID]; p != nil {
			e.Amount = p.Amount()
		}
		if in.Kind == intent.Void {
			e.ID, e.Kind = intent.Key(in.OrderID, intent.Refund), intent.Refund
		}
		all = append(all, e)
	}
	d.intends = nil
	return all
}

// Retried gives what an act that was refused would do if it were tried again. A charge that is being
// undone meanwhile is not made any more, but given back where it has happened; a void by itself moves nothing.
func (d *DryRun) Retried(ctx context.Context, in intent.Intent) ([]intent.Effect, error) {
	known, err := d.Payments(ctx, in.OrderID)
	p := known[in.OrderID]
	if err != nil || p == nil {
		return nil, err
	}
	switch {
	case in.Kind == intent.Capture && p.State() == payment.Capturing, in.Kind == intent.Refund:
		return []intent.Effect{{ID: in.ID, Kind: in.Kind, Amount: p.Amount()}}, nil
	case in.Kind == intent.Capture && p.State() == payment.Undoing:
		return []intent.Effect{{ID: intent.Key(in.OrderID, intent.Refund), Kind: intent.Refund, Amount: p.Amount()}}, nil
	}
	return nil, nil
}
