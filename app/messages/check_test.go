package messages_test

import (
	"testing"

	"millrace/app/messages"
	"millrace/domain/order"
)

// The published language says the end of an order for itself; it must be the domain's.
func TestAStatusIsAnEndInTheMessagesWhereItIsOneInTheDomain(t *testing.T) {
	t.Parallel()
	for _, status := range order.Statuses {
		if got := messages.Ended(status.String()); got != status.Terminal() {
			t.Errorf("%s: ended is %t, terminal is %t", status, got, status.Terminal())
		}
	}
	if messages.Ended("") {
		t.Error("no status at all is an end")
	}
}
