package messaging_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

func TestOnlyAWholeMessageThatNobodyHandlesIsUnwanted(t *testing.T) {
	t.Parallel()
	unwanted := map[string]func([]byte) bool{}
	r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { return nil }), func(c *messaging.Config) {
		subscriber := c.Subscriber
		c.Subscriber = func(group string, verdict func([]byte) bool) (message.Subscriber, error) {
			unwanted[group] = verdict
			return subscriber(group, verdict)
		}
	})
	group, again := "inventory-service."+messages.PaymentEvents, "inventory-service."+messages.RedriveTopic("inventory-service")
	other := good(t, &messages.PaymentFailed{OrderID: "ord_1"}).value
	for name, c := range map[string]struct {
		group, value string
		unwanted     bool
	}{
		"of another service":               {group, other, true},
		"ours":                             {group, good(t, &messages.PaymentSucceeded{OrderID: "ord_1"}).value, false},
		"of a type of another topic":       {group, good(t, &messages.InventoryFailed{OrderID: "ord_1"}).value, false},
		"of a type that is not known":      {group, strings.Replace(other, "PaymentFailed", "PaymentDelayed", 1), false},
		"broken":                           {group, other[:len(other)-2], false},
		"without an id":                    {group, `{"eventId":"` + strings.Repeat("x", 36) + other[len(`{"eventId":"`)+36:], false},
		"of another service, a type twice": {group, strings.Replace(other, `,"data"`, `,"type":"PaymentSucceeded","data"`, 1), false},
		"empty":                            {group, "", false},
		"of another service, sent again":   {again, other, false},
	} {
		if got := unwanted[c.group]([]byte(c.value)); got != c.unwanted {
			t.Errorf("what is %s is unwanted: %t", name, got)
		}
	}
	if want := []string{group + " skipped"}; !slices.Equal(r.seen.outcomes, want) {
		t.Errorf("outcomes %v, want %v", r.seen.outcomes, want)
	}
}
