package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace/adapters/embedded"
)

// The broker is lost with its disk: records, topics and the offsets of all groups. What it had is
// still in the outboxes, and what is sent again is known by those that have handled it.
func TestABrokerThatIsLostWithItsDiskLosesNoOrder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, patient...)
	ended, caught := paidOnKafkaAlone(t, s, func() {
		s.kill()
		if err := os.RemoveAll(filepath.Join(s.data, "kafka")); err != nil {
			t.Fatal(err)
		}
	})
	s.start(t, patient...)
	for _, id := range caught {
		if o := s.show(t, id); o.Status != "PAID" {
			t.Errorf("%s is %s without the message that its broker has lost", id, o.Status)
		}
	}
	replayAll(t, s, ended, caught)
}

// The same under services that go on running: they find a new broker at the old address.
func TestABrokerThatIsReplacedUnderRunningServicesLosesNoOrder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s, doors, disks := newEmbedded(t), freeBlock(t), t.TempDir()
	s.kafka = at(doors + kafkaPort)
	s.env = append(s.env, "KAFKA_BROKERS="+s.kafka)
	broker := func(disk string) *embedded.Kafka {
		b, err := embedded.StartKafka(s.kafka, filepath.Join(disks, disk), embedded.KafkaOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	first := broker("first")
	s.start(t, patient...)
	ended, caught := paidOnKafkaAlone(t, s, func() { _ = first.Close() })
	broker("second")
	replayAll(t, s, ended, caught)
}

// patient lets no timer end what a broker has lost.
var patient = []string{"PAYMENT_TIMEOUT=10m", "INVENTORY_TIMEOUT=10m"}

// paidOnKafkaAlone places orders that end and orders whose payment is known to Kafka alone, loses the
// broker, and gives both.
func paidOnKafkaAlone(t *testing.T, s *stack, lose func()) (ended, caught []string) {
	t.Helper()
	for range 5 {
		ended = append(ended, s.place(t, wish{}), s.place(t, wish{method: "pm_card_declined"}))
	}
	s.allEnd(t, ended)
	release := s.holdInventory(t)
	for range 15 {
		caught = append(caught, s.place(t, wish{}))
	}
	await(t, time.Minute, "all are paid, and their messages are on Kafka", func() bool {
		for _, id := range caught {
			if s.show(t, id).Status != "PAID" {
				return false
			}
		}
		return s.unsent(t) == 0
	})
	lose()
	release()
	return ended, caught
}

// replayAll has everything sent again, beside the running system, and checks the books.
func replayAll(t *testing.T, s *stack, ended, caught []string) {
	t.Helper()
	var replayed struct{ Rows int }
	s.outbox(t, &replayed, "replay", "--all")
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
