package kafkabus_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/kafkabus"
)

// sessionTime is after how long without a sign of life Kafka gives a member up (sarama's default).
const sessionTime = 10 * time.Second

// A database that stands still settles no message. That is not for the group to know: the member still
// says that it is there, fetching pauses when the window is full, and nothing is handed out again.
func TestWorkThatStandsStillLongerThanASessionCausesNoRebalance(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		const orders = 4000 // more than the windows and what may wait behind them
		var sending sync.WaitGroup
		var sent atomic.Int32
		for range 32 {
			sending.Go(func() {
				for n := sent.Add(1); n <= orders; n = sent.Add(1) {
					if err := p.Publish(name, order(fmt.Sprint("ord_", n), "x")); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		sending.Wait()
		var sessions atomic.Int32
		cfg.Session = func(string) { sessions.Add(1) }
		in := subscribe(t, subscriber(t, cfg, "g."+name), name)
		var held []*message.Message
		for stands := time.After(sessionTime + 5*time.Second); ; {
			select {
			case msg := <-in:
				held = append(held, msg)
				continue
			case <-stands:
			}
			break
		}
		if len(held) == 0 {
			t.Fatal("nothing was handed out")
		}
		for _, msg := range held {
			if msg.Context().Err() != nil {
				t.Fatal("a message in hand was given up")
			}
			msg.Ack()
		}
		seen := len(held)
		for ; seen < orders; seen++ {
			next(t, in).Ack()
		}
		if n := sessions.Load(); n != 1 {
			t.Errorf("the group began %d sessions, want the first alone", n)
		}
		select {
		case <-in:
			t.Error("a message came twice")
		default:
		}
	})
}

func TestEverySessionIsToldOf(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		told := make(chan string, 10)
		cfg.Session = func(group string) { told <- group }
		session := func() {
			t.Helper()
			select {
			case group := <-told:
				if group != "g."+name {
					t.Errorf("it is told of %s", group)
				}
			case <-time.After(patience):
				t.Fatal("it is not told")
			}
		}
		subscribe(t, subscriber(t, cfg, "g."+name), name)
		session()
		cfg.Session = nil
		subscribe(t, subscriber(t, cfg, "g."+name), name) // the group rebalances
		session()
	})
}
