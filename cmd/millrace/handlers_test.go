package main

import (
	"flag"
	"os"
	"testing"

	"millrace/ports/messaging"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A consumer group or handler that changes its name reads its topic again from the beginning.
func TestHandlersAndConsumerGroupsAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	const path = "testdata/handlers.golden"
	got := messaging.Describe(
		analyticsHandlers(nil), paymentHandlers(nil, nil), inventoryHandlers(nil, nil), notificationHandlers(nil), orchestratorHandlers(nil),
	)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("handlers and groups are\n%s\nthe golden file has\n%s", got, want)
	}
}
