package operator

import (
	"context"

	"millrace/sagas/engine"
)

// What a receiver's inbox says of a message.
const (
	InboxDone   = "done"   // handled: it does nothing there again
	InboxDead   = "dead"   // refused, and a dead letter: only a redrive of the letter brings it to its handler
	InboxParked = "parked" // it waits behind a dead letter, likewise
	InboxNone   = "none"   // it has not come, or its retention is over: it takes effect there
)

// Receipt is what the inbox of one who is to have a message says of it.
type Receipt struct {
	Service string `json:"service"`
	Inbox   string `json:"inbox"`
}

// Receipts reads the receivers' inboxes.
type Receipts interface {
	// Receipts gives, by message id, what the inboxes of all who receive each message say.
	Receipts(ctx context.Context, again []engine.Again) (map[string][]Receipt, error)
}

// receive writes down for each message that a plan sends again who has handled it.
func (d *Desk) receive(ctx context.Context, p *Plan) error {
	var again []engine.Again
	for _, i := range p.Items {
		for _, s := range i.Sends {
			if s.Effect == Deduplicated {
				again = append(again, s.Again)
			}
		}
	}
	if len(again) == 0 {
		return nil
	}
	receipts, err := d.store.Receipts(ctx, again)
	if err != nil {
		return err
	}
	for _, i := range p.Items {
		for n := range i.Sends {
			s := &i.Sends[n]
			if s.Effect != Deduplicated {
				continue
			}
			s.Receivers = receipts[s.ID]
			if s.handled() {
				p.Totals.Handled++
			}
		}
	}
	return nil
}

// handled says whether everybody who receives a message has handled it: sent again it comes to nothing.
func (s Send) handled() bool {
	for _, r := range s.Receivers {
		if r.Inbox != InboxDone {
			return false
		}
	}
	return len(s.Receivers) > 0
}
