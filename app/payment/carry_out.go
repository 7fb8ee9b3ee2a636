package payment

import (
	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/domain/payment"
)

// carryOut stages what a move of the payment asks for: a message to tell, or an act to intend.
func carryOut(tx Tx, p *payment.Payment, next payment.Next, provider string) error {
	switch next {
	case payment.TellPaid:
		return tx.Publish(paid(p, provider))
	case payment.TellDeclined:
		return tx.Publish(&messages.PaymentFailed{
			OrderID: p.OrderID(), Amount: p.Amount().Minor, Currency: p.Amount().Currency.String(),
			Provider: provider, Reason: messages.ReasonPaymentDeclined,
		})
	case payment.TellUndone:
		return tx.Publish(undone(p))
	case payment.TryVoid:
		tx.Intend(intent.New(p.OrderID(), intent.Void))
	case payment.GiveBack:
		tx.Intend(intent.New(p.OrderID(), intent.Refund))
	}
	return nil
}

func paid(p *payment.Payment, provider string) *messages.PaymentSucceeded {
	items := make([]messages.Quantity, len(p.Lines()))
	for i, line := range p.Lines() {
		items[i] = messages.Quantity{SKU: line.SKU, Qty: line.Qty}
	}
	return &messages.PaymentSucceeded{
		OrderID: p.OrderID(), PaymentID: p.ProviderID(), Amount: p.Amount().Minor, Currency: p.Amount().Currency.String(),
		Provider: provider, AuthCode: p.AuthCode(), Items: items,
	}
}

func undone(p *payment.Payment) *messages.PaymentRefunded {
	m := &messages.PaymentRefunded{
		OrderID: p.OrderID(), Amount: p.Amount().Minor, Currency: p.Amount().Currency.String(), Outcome: p.Outcome(),
	}
	if id := p.ProviderID(); id != "" {
		m.PaymentID = &id
	}
	if m.Outcome == messages.OutcomeNothingCaptured {
		m.Amount = 0
	}
	return m
}
