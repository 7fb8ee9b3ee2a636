package operator

import (
	"context"

	"millrace/app/messages"
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

// receive writes down for each message that a plan sends again who has handled it, and what it does where it
// never came.
func (d *Desk) receive(ctx context.Context, items []Item, standings map[string]Standing) error {
	var again []engine.Again
	for _, i := range items {
		for _, s := range i.Sends {
			if s.again() {
				again = append(again, s.Again)
			}
		}
	}
	if len(again) == 0 {
		return nil
	}
	receipts, err := d.planning.Receipts(ctx, again)
	if err != nil {
		return err
	}
	for n := range items {
		i := &items[n]
		for k := range i.Sends {
			s := &i.Sends[k]
			if !s.again() {
				continue
			}
			if s.Receivers = receipts[s.ID]; s.missedBy("") {
				s.Effect = Late
			}
			i.addMoney(*s, standings[i.OrderID].Books)
		}
	}
	return nil
}

// addMoney counts the money that a message moves when payment gets it for the first time. Nothing moves where
// payment's books say that it is at the step, or through with it: its inbox may forget sooner than they.
func (i *Item) addMoney(s Send, books engine.Books) {
	if !s.missedBy(messages.PaymentService) || books != (engine.Books{}) {
		return
	}
	switch s.Type {
	case messages.OrderCreated{}.Name():
		i.Capture = i.Total
	case messages.RefundPayment{}.Name():
		i.Money = i.Total
	}
}

// again says whether the message was sent before.
func (s Send) again() bool { return s.Effect != NewEffect }

// missedBy says whether a service receives a message that never came to it; "" stands for any service. Where
// nobody is known to receive it, everybody may.
func (s Send) missedBy(service string) bool {
	for _, r := range s.Receivers {
		if (service == "" || r.Service == service) && r.Inbox == InboxNone {
			return true
		}
	}
	return len(s.Receivers) == 0
}

// handled says whether everybody who receives a message has handled it, and it is nowhere a dead letter.
func (s Send) handled() bool {
	for _, r := range s.Receivers {
		if r.Inbox != InboxDone {
			return false
		}
	}
	return len(s.Receivers) > 0
}
