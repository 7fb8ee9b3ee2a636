package life_test

import (
	"os"
	"strings"
	"testing"

	"millrace/bench/peers/life"
)

// An order is 7 transactions, 18 inserts and 6 updates, whoever writes it.
func TestEverybodyWritesTheSameRows(t *testing.T) {
	t.Parallel()
	statements := life.Accept
	messages := 1 // OrderCreated, an outbox row
	for _, step := range life.Steps {
		statements += step.Statement
		if step.Sends != "" {
			messages++
		}
	}
	// Two of the saga's updates are inserts where topics overtake each other.
	upserts := strings.Count(statements, "DO UPDATE SET")
	inserts, updates := strings.Count(statements, "INSERT INTO")-upserts+messages, strings.Count(statements, "UPDATE ")
	if inserts != 18 || updates != 6 || len(life.Steps) != 6 {
		t.Errorf("the peers: %d inserts, %d updates in %d transactions", inserts, updates, len(life.Steps)+1)
	}
	for name, commits := range map[string]int{"cte": 0, "plain": 7} {
		text, err := os.ReadFile("../../pgbench/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		script := string(text)
		inserts, updates := strings.Count(script, "INSERT INTO"), strings.Count(script, "UPDATE ")
		if inserts != 18 || updates != 6 || strings.Count(script, "COMMIT;") != commits {
			t.Errorf("pgbench %s: %d inserts, %d updates", name, inserts, updates)
		}
	}
}

func TestEveryMessageLeadsToTheNextUntilTheOrderIsTold(t *testing.T) {
	t.Parallel()
	var path []string
	for message := life.OrderCreated; message != ""; {
		path = append(path, message)
		next := ""
		for _, step := range life.On(message) {
			if step.Sends != "" {
				next = step.Sends
			}
		}
		message = next
	}
	if got := strings.Join(path, " "); got != "OrderCreated PaymentSucceeded InventoryReserved OrderCompleted" {
		t.Errorf("it goes %s", got)
	}
}
