package smtpmail

import (
	gomail "github.com/wneessen/go-mail"

	"millrace/app/notification"
)

// compose makes the message: plain text with the HTML as its alternative. Its Message-ID and date
// come from the letter, so that a second try is recognized as the same one.
func compose(from string, m notification.Mail) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(from); err != nil {
		return nil, err
	}
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.MessageID)
	msg.SetDateWithValue(m.At)
	msg.SetGenHeader("X-Order-ID", m.OrderID)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}
