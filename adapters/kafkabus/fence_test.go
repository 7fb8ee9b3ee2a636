package kafkabus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/kafkabus"
)

func TestAMessageOfALostSessionIsNoLongerAlive(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		for n := range 12 { // enough that every one of the three partitions has some
			if err := p.Publish(name, order(fmt.Sprint("ord_", n), fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		first := subscribe(t, subscriber(t, cfg, "g."+name), name)
		held := next(t, first)
		if held.Context().Err() != nil {
			t.Fatal("a message in hand was not alive")
		}

		second := subscribe(t, subscriber(t, cfg, "g."+name), name) // the group rebalances
		select {
		case <-held.Context().Done():
		case <-time.After(patience):
			t.Fatal("the session was lost and the message in hand did not notice")
		}
		held.Nack()

		// Whether it comes back once more from the lost session or not at all: it is read again
		// under the new one, by whoever has its partition.
		seen := map[string]bool{}
		for deliveries := 0; len(seen) < 12; deliveries++ {
			if deliveries > 100 {
				t.Fatalf("after %d deliveries %d of 12 messages were seen", deliveries, len(seen))
			}
			msg := either(t, first, second)
			if msg.Context().Err() == nil {
				seen[msg.UUID] = true
			}
			msg.Ack()
		}
		if !seen[held.UUID] {
			t.Error("the message of the lost session was lost with it")
		}
	})
}

func TestTheNackLoopOfThePlainSubscriberDeliversNothingThatIsAlive(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := topic(t, cfg)
		if err := publisher(t, cfg).Publish(name, order("ord_1", "x")); err != nil {
			t.Fatal(err)
		}
		subscriber := subscribers("plain")
		first := subscribe(t, subscriber(t, cfg, "g."+name), name)
		held := next(t, first)
		subscribe(t, subscriber(t, cfg, "g."+name), name) // the group rebalances
		select {
		case <-held.Context().Done():
		case <-time.After(patience):
			t.Fatal("the session was lost and the message in hand did not notice")
		}
		held.Nack()
		again := next(t, first)
		if again.UUID != held.UUID || again.Context().Err() == nil {
			t.Error("refused after its session was lost, it came back as if it were alive")
		}
		again.Ack() // has no effect
	})
}

func either(t *testing.T, a, b <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg := <-a:
		return msg
	case msg := <-b:
		return msg
	case <-time.After(patience):
		t.Fatal("no message came")
		return nil
	}
}
