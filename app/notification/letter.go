package notification

import (
	"bytes"
	_ "embed" // the letters
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"

	"millrace/app/messages"
)

//go:embed letters/completed.txt
var textSource string

//go:embed letters/completed.html
var htmlSource string

// The letters are part of the program: one that cannot be read is found before anything starts.
var (
	plainLetter = texttemplate.Must(texttemplate.New("text").Parse(textSource))
	richLetter  = htmltemplate.Must(htmltemplate.New("html").Parse(htmlSource))
)

// letter is what the templates see.
type letter struct {
	OrderID string
	Outcome string
	Why     string
	Total   string
}

// Write makes the letter of a notice. The same notice gives the same letter, Message-ID included.
func Write(n Notice, to string) (Mail, error) {
	l := letter{OrderID: n.OrderID, Outcome: outcome(n.Status), Why: why(n.Reason), Total: amount(n.Total, n.Currency)}
	var plain, rich bytes.Buffer
	if err := plainLetter.Execute(&plain, l); err != nil {
		return Mail{}, fmt.Errorf("write the text letter: %w", err)
	}
	if err := richLetter.Execute(&rich, l); err != nil {
		return Mail{}, fmt.Errorf("write the HTML letter: %w", err)
	}
	return Mail{
		MessageID: n.OrderID + ".completed@millrace.local",
		OrderID:   n.OrderID,
		To:        to,
		Subject:   "Your order " + n.OrderID + " " + l.Outcome,
		Text:      plain.String(),
		HTML:      rich.String(),
		At:        n.At,
	}, nil
}

func outcome(status string) string {
	switch status {
	case "CONFIRMED":
		return "is confirmed"
	case "CANCELLED":
		return "was cancelled"
	default:
		return "could not be completed"
	}
}

func why(reason string) string {
	switch reason {
	case messages.ReasonPaymentDeclined:
		return "The payment was declined."
	case messages.ReasonPaymentTimeout:
		return "The payment was not answered in time. Nothing stays charged."
	case messages.ReasonOutOfStock:
		return "An item is out of stock. Nothing stays charged."
	case messages.ReasonInventoryTimeout:
		return "The items could not be reserved in time. Nothing stays charged."
	case messages.ReasonCancelledByUser:
		return "You asked us to cancel it. Nothing stays charged."
	default:
		return ""
	}
}

// amount writes minor units of a currency with two decimals, as most currencies have.
func amount(minor int64, currency string) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return strings.TrimSpace(fmt.Sprintf("%s%d.%02d %s", sign, minor/100, minor%100, currency))
}
