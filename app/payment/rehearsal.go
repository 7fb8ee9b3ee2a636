package payment

import (
	"context"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// Rehearsal is Work that keeps nothing: the service's own use cases run over it, and it says what acts they
// would have intended and how much money each is about. It reads payments as they are, and what one
// use case would have kept the next one sees. So what is foreseen follows from the code that will do it. It
// is for one caller.
type Rehearsal struct {
	stored  Payments
	known   map[string]*payment.Payment
	intends []intent.Intent
}

// NewRehearsal begins one over payments as they are stored.
func NewRehearsal(stored Payments) *Rehearsal {
	return &Rehearsal{stored: stored, known: map[string]*payment.Payment{}}
}

var (
	_ Work = (*Rehearsal)(nil)
	_ Tx   = (*Rehearsal)(nil)
)

// Do runs fn and commits nothing.
func (r *Rehearsal) Do(_ context.Context, fn func(Tx) error) error { return fn(r) }

// Payments gives payments as they would be by now. Nothing is locked.
func (r *Rehearsal) Payments(ctx context.Context, orderIDs ...string) (map[string]*payment.Payment, error) {
	found := map[string]*payment.Payment{}
	for _, id := range orderIDs {
		p := r.known[id]
		if p == nil {
			var err error
			p, err = r.stored.Payment(ctx, id)
			if err != nil && fault.KindOf(err) == fault.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			p = payment.Restore(p.Snapshot()) // what is rehearsed moves a copy
		}
		found[id] = p
	}
	return found, nil
}

// Keep remembers the payment for the next use case.
func (r *Rehearsal) Keep(p *payment.Payment) { r.known[p.OrderID()] = p }

// Intend notes the act.
func (r *Rehearsal) Intend(in intent.Intent) { r.intends = append(r.intends, in) }

// Settle does nothing: no intent has an end here.
func (r *Rehearsal) Settle(intent.Intent) {}

// Close does nothing.
func (r *Rehearsal) Close(string) {}

// Publish tells nobody.
func (r *Rehearsal) Publish(messages.Message) error { return nil }

// Intended gives what was intended since it was asked last. To bar a charge whose fate is not known counts
// as giving it back: that is what follows when it turns out to have happened.
func (r *Rehearsal) Intended() []intent.Stake {
	var all []intent.Stake
	for _, in := range r.intends {
		s := intent.Stake{ID: in.ID, Kind: in.Kind, Amount: money.Of(0, money.None)}
		if p := r.known[in.OrderID]; p != nil {
			s.Amount = p.Amount()
		}
		if in.Kind == intent.Void {
			s.ID, s.Kind = intent.Key(in.OrderID, intent.Refund), intent.Refund
		}
		all = append(all, s)
	}
	r.intends = nil
	return all
}

// Retried gives what an act that was refused would do if it were tried again. A charge that is being
// undone meanwhile is not made any more, but given back where it has happened; a void by itself moves nothing.
func (r *Rehearsal) Retried(ctx context.Context, in intent.Intent) ([]intent.Stake, error) {
	known, err := r.Payments(ctx, in.OrderID)
	p := known[in.OrderID]
	if err != nil || p == nil {
		return nil, err
	}
	switch {
	case in.Kind == intent.Capture && p.State() == payment.Capturing, in.Kind == intent.Refund:
		return []intent.Stake{{ID: in.ID, Kind: in.Kind, Amount: p.Amount()}}, nil
	case in.Kind == intent.Capture && p.State() == payment.Undoing:
		return []intent.Stake{{ID: intent.Key(in.OrderID, intent.Refund), Kind: intent.Refund, Amount: p.Amount()}}, nil
	}
	return nil, nil
}
