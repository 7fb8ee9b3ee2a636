package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The broker is lost with its disk: records, topics and the offsets of all groups. What it had is
// still in the outboxes, and what is sent again is known by those that have handled it.
func TestABrokerThatIsLostWithItsDiskLosesNoOrder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	patient := []string{"PAYMENT_TIMEOUT=10m", "INVENTORY_TIMEOUT=10m"} // no timer is to end what the broker has lost
	s.start(t, patient...)
	var ended, caught []string
	for range 5 {
		ended = append(ended, s.place(t, wish{}), s.place(t, wish{method: "pm_card_declined"}))
	}
	s.allEnd(t, ended)
	release := s.holdInventory(t)
	for range 15 {
		caught = append(caught, s.place(t, wish{}))
	}
	await(t, time.Minute, "all are paid, and their messages are on Kafka alone", func() bool {
		for _, id := range caught {
			if s.show(t, id).Status != "PAID" {
				return false
			}
		}
		return s.unsent(t) == 0
	})

	s.kill()
	release()
	if err := os.RemoveAll(filepath.Join(s.data, "kafka")); err != nil {
		t.Fatal(err)
	}
	s.start(t, patient...)
	for _, id := range caught {
		if o := s.show(t, id); o.Status != "PAID" {
			t.Errorf("%s is %s without the message that its broker has lost", id, o.Status)
		}
	}

	var replayed struct{ Rows int }
	s.outbox(t, &replayed, "replay", "--all") // beside the running system
	if least := 2*len(caught) + 3*len(ended); replayed.Rows < least {
		t.Errorf("%d messages are sent again, fewer than %d", replayed.Rows, least)
	}
	s.allEnd(t, caught)
	for _, id := range caught {
		if o := s.show(t, id); o.Status != "CONFIRMED" {
			t.Errorf("%s ends as %s", id, o.Status)
		}
	}
	await(t, time.Minute, "all is sent", func() bool { return s.unsent(t) == 0 })
	s.settled(t)
	s.terminate(t)
}

// unsent counts the messages that wait for Kafka, as an operator does.
func (s *stack) unsent(t *testing.T) int {
	t.Helper()
	var state struct{ Databases []struct{ Pending, Dead int } }
	s.outbox(t, &state, "status")
	n := 0
	for _, d := range state.Databases {
		n += d.Pending
		if d.Dead > 0 {
			t.Errorf("%d messages were given up", d.Dead)
		}
	}
	if len(state.Databases) != 4 {
		t.Errorf("there are %d outboxes, not 4", len(state.Databases))
	}
	return n
}

// outbox runs a verb of `millrace outbox` and reads what it says.
func (s *stack) outbox(t *testing.T, into any, verb ...string) {
	t.Helper()
	args := append(append([]string{"outbox"}, verb...), "--json")
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	c := spawn(t, t, s.env, args...)
	c.ends(t, 30*time.Second, 0)
	if err := json.Unmarshal([]byte(c.stdout.String()), into); err != nil {
		t.Fatalf("outbox says %q: %v", c.stdout, err)
	}
}
