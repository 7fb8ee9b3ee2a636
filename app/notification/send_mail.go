package notification

import (
	"context"
	"fmt"

	"millrace/domain/intent"
)

// SendMail is the worker's half of telling the customer. It repeats a mail only when the commit behind the mail
// server's yes does not come: the process dies there, or the database has just ceased to take writes. The Message-ID is
// the same then.
type SendMail struct {
	work    Work
	notices Notices
	mailer  Mailer
}

// NewSendMail makes the use case.
func NewSendMail(work Work, notices Notices, mailer Mailer) *SendMail {
	return &SendMail{work, notices, mailer}
}

// Handle writes the letter, sends it and settles the intent.
func (h *SendMail) Handle(ctx context.Context, in intent.Intent) error {
	notice, err := h.notices.Notice(ctx, in.OrderID)
	if err != nil {
		return fmt.Errorf("mail of %s: %w", in.OrderID, err)
	}
	address, err := h.notices.Address(ctx, notice.UserID)
	if err != nil {
		return fmt.Errorf("address of %s: %w", notice.UserID, err)
	}
	if address == "" {
		address = notice.UserID + "@example.com"
	}
	letter, err := Write(notice, address)
	if err != nil {
		return err
	}
	if err := h.mailer.Send(ctx, letter); err != nil {
		return fmt.Errorf("mail of %s: %w", in.OrderID, err)
	}
	return h.work.Do(ctx, func(tx Tx) error {
		tx.Sent(in.OrderID)
		tx.Settle(in)
		return nil
	})
}
