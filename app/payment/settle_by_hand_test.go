package payment_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"millrace/app/messages"
	app "millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// books is one transaction with one payment.
type books struct {
	payment *payment.Payment
	settled []intent.Intent
	intends []intent.Intent
	closed  []string
	told    []messages.Message
}

func (b *books) Do(_ context.Context, fn func(app.Tx) error) error { return fn(b) }

func (b *books) Payments(context.Context, ...string) (map[string]*payment.Payment, error) {
	if b.payment == nil {
		return nil, nil
	}
	return map[string]*payment.Payment{"ord_1": b.payment}, nil
}

func (b *books) Keep(p *payment.Payment) { b.payment = p }
func (b *books) Intend(in intent.Intent) { b.intends = append(b.intends, in) }
func (b *books) Settle(in intent.Intent) { b.settled = append(b.settled, in) }
func (b *books) Close(id string)         { b.closed = append(b.closed, id) }
func (b *books) Publish(m messages.Message) error {
	b.told = append(b.told, m)
	return nil
}

// at makes a payment and moves it.
func at(t *testing.T, moves ...func(*payment.Payment)) *payment.Payment {
	t.Helper()
	p, err := payment.Open("ord_1", money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", []payment.Line{{SKU: "SKU-1", Qty: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range moves {
		move(p)
	}
	return p
}

func captured(p *payment.Payment) { p.CaptureSucceeded("pay_1", "auth") }
func undone(p *payment.Payment)   { p.Undo() }

func TestWhatIsStatedOfAnActMovesThePaymentAndIsTold(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		payment *payment.Payment
		kind    intent.Kind
		outcome string
		state   payment.State
		told    string
		intends int
		closed  string
	}{
		{"a refund that was paid back", at(t, captured, undone), intent.Refund, "refunded", payment.Refunded, "PaymentRefunded", 0, ""},
		{"a capture that was made", at(t), intent.Capture, "captured", payment.Captured, "PaymentSucceeded", 0, ""},
		{"a capture that was made too late", at(t, undone), intent.Capture, "captured", payment.Refunding, "", 1, "ord_1:void"},
		{"a capture that was declined", at(t), intent.Capture, "declined", payment.Declined, "PaymentFailed", 0, ""},
		{"a capture that was barred while it was undone", at(t, undone), intent.Capture, "voided", payment.Voided, "PaymentRefunded", 0, "ord_1:void"},
		{"a void that was done", at(t, undone), intent.Void, "voided", payment.Voided, "PaymentRefunded", 0, "ord_1:capture"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &books{payment: c.payment}
			in := intent.New("ord_1", c.kind)
			if err := app.NewSettleByHand(b).Handle(t.Context(), in, c.outcome); err != nil {
				t.Fatal(err)
			}
			told := ""
			for _, m := range b.told {
				told += m.Name()
			}
			if b.payment.State() != c.state || told != c.told || len(b.intends) != c.intends || len(b.settled) != 1 || b.settled[0] != in {
				t.Errorf("the payment is %s, told was %q, intended %v, settled %v", b.payment.State(), told, b.intends, b.settled)
			}
			if closed := strings.Join(b.closed, " "); closed != c.closed {
				t.Errorf("%q has nothing left to do, want %q", closed, c.closed)
			}
		})
	}
}

func TestWhatCannotBeStatedOrDoesNotFitChangesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		payment *payment.Payment
		kind    intent.Kind
		outcome string
		want    error
	}{
		{at(t, captured, undone), intent.Refund, "voided", app.ErrOutcome},
		{at(t), intent.Mail, "sent", app.ErrOutcome},
		{at(t, captured), intent.Refund, "refunded", app.ErrNothingToSettle},
		{at(t, captured), intent.Capture, "declined", app.ErrNothingToSettle},
		{nil, intent.Refund, "refunded", app.ErrNothingToSettle},
	} {
		b := &books{payment: c.payment}
		err := app.NewSettleByHand(b).Handle(t.Context(), intent.New("ord_1", c.kind), c.outcome)
		if !errors.Is(err, c.want) || len(b.told)+len(b.settled)+len(b.intends) != 0 {
			t.Errorf("%s of a %s: %v, told %v, settled %v", c.outcome, c.kind, err, b.told, b.settled)
		}
	}
}
