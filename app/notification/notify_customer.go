package notification

import (
	"context"
	"time"

	"millrace/app/messages"
	"millrace/domain/intent"
)

// NotifyCustomer answers OrderCompleted: it intends the mail. The worker sends it.
type NotifyCustomer struct {
	work Work
	now  func() time.Time
}

// NewNotifyCustomer makes the use case.
func NewNotifyCustomer(work Work, now func() time.Time) *NotifyCustomer {
	return &NotifyCustomer{work, now}
}

// Handle keeps what is to be told and intends the mail.
func (h *NotifyCustomer) Handle(ctx context.Context, m *messages.OrderCompleted) error {
	at := h.now()
	return h.work.Do(ctx, func(tx Tx) error {
		tx.Keep(Notice{
			OrderID: m.OrderID, UserID: m.UserID, Status: m.Status,
			Total: m.Total, Currency: m.Currency, Reason: m.Reason, At: at,
		})
		tx.Intend(intent.New(m.OrderID, intent.Mail))
		return nil
	})
}
