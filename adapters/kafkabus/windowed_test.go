package kafkabus_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/kafkabus"
)

// onePartition makes a topic of one partition with records of the given keys, in that order. A
// record's value is its number.
func onePartition(t *testing.T, cfg kafkabus.Config, padding int, keys ...string) string {
	t.Helper()
	cfg.Partitions = 1
	name := topic(t, cfg)
	records := make([]*kgo.Record, len(keys))
	for n, key := range keys {
		records[n] = &kgo.Record{Topic: name, Key: []byte(key), Value: fmt.Appendf(nil, "%d%s", n, strings.Repeat(" ", padding))}
	}
	if err := foreign(t, cfg).ProduceSync(within(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return name
}

// number is which of onePartition's records it is, and its key.
func number(msg *message.Message) (int64, string) {
	_, _, offset, key, _ := kafkabus.Origin(msg)
	return offset, string(key)
}

func distinct(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("ord_", i)
	}
	return keys
}

// awaitLag returns when the group has committed all but so many records of the topic.
func awaitLag(t *testing.T, cfg kafkabus.Config, group, topic string, holds func(records int64) bool) {
	t.Helper()
	a := admin(t, cfg)
	for deadline := time.Now().Add(patience); ; {
		lags, err := a.Lag(within(t), kafkabus.Group{Name: group, Topic: topic})
		if err == nil && holds(lags[0].Records) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the group's lag is %v, %v", lags, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAMessageThatTakesLongStopsOnlyItsKey(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		keys := append([]string{"slow", "slow"}, distinct(600)...)
		name := onePartition(t, cfg, 0, keys...)
		in := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		slow := next(t, in)
		for range 600 {
			msg := next(t, in)
			if _, key := number(msg); key == "slow" {
				t.Fatal("two messages of one key are in hand")
			}
			msg.Ack()
		}
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 602 })
		slow.Ack()
		second := next(t, in)
		if n, key := number(second); n != 1 || key != "slow" {
			t.Errorf("then came %d of key %s", n, key)
		}
		second.Ack()
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 0 })
	})
}

func TestAMessageThatIsRefusedForEverStopsNoOtherAndIsNotSkipped(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		keys := distinct(400)
		name := onePartition(t, cfg, 0, keys...)
		s := subscribers("windowed")(t, cfg, "g."+name)
		in := subscribe(t, s, name)
		const poison = 100
		acked, refusals := 0, 0
		for acked < len(keys)-1 || refusals < 2 {
			msg := next(t, in)
			if n, _ := number(msg); n == poison {
				refusals++
				msg.Nack()
				continue
			}
			acked++
			msg.Ack()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == int64(len(keys)-poison) })
		again := next(t, subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name))
		if n, _ := number(again); n != poison {
			t.Errorf("the next member begins with %d", n)
		}
	})
}

func TestABacklogLargerThanAnyWindowIsReadInOrder(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		keys := make([]string, 12_000)
		for n := range keys {
			keys[n] = fmt.Sprint("ord_", n%10)
		}
		name := onePartition(t, cfg, 500, keys...)
		in := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		last := map[string]int64{}
		for range keys {
			msg := next(t, in)
			n, key := number(msg)
			if before, seen := last[key]; seen && n != before+10 || !seen && n >= 10 {
				t.Fatalf("%s: %d came after %d", key, n, before)
			}
			last[key] = n
			msg.Ack()
		}
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 0 })
	})
}

func TestLargeRecordsAllComeThrough(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := onePartition(t, cfg, kafkabus.MaxRecordBytes-4096, distinct(8)...)
		in := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		seen := map[int64]bool{}
		for range 8 {
			msg := next(t, in)
			n, _ := number(msg)
			seen[n] = len(msg.Payload) > kafkabus.MaxRecordBytes-4096
			msg.Ack()
		}
		if len(seen) != 8 || slices.Contains(slices.Collect(maps.Values(seen)), false) {
			t.Errorf("of 8 large records came %v", seen)
		}
	})
}

// Many messages are in hand, and one partition is so far behind that its fetching is paused, when
// another member joins.
func TestARebalanceWithAWindowInFlightLosesNothing(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := topic(t, cfg)
		var records []*kgo.Record
		add := func(key string) {
			records = append(records, &kgo.Record{Topic: name, Key: []byte(key), Value: fmt.Append(nil, len(records))})
		}
		for n := range 300 {
			add(fmt.Sprint("ord_", n))
		}
		for range 1500 {
			add("busy")
		}
		for n := range 300 {
			add(fmt.Sprint("ord_", n))
		}
		if err := foreign(t, cfg).ProduceSync(within(t), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}

		first := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		var held []*message.Message
		for range 100 { // of those that its windows let out
			held = append(held, next(t, first))
		}
		second := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		for n, msg := range held {
			select {
			case <-msg.Context().Done():
			case <-time.After(patience):
				t.Fatal("the session was lost and a message in hand did not notice")
			}
			if n%2 == 0 {
				msg.Ack() // has no effect
			} else {
				msg.Nack()
			}
		}

		seen, last := map[string]bool{}, map[string]int64{}
		for len(seen) < len(records) {
			msg := either(t, first, second)
			if msg.Context().Err() == nil {
				n, key := number(msg)
				if before, came := last[key]; came && n <= before {
					t.Errorf("%s: %d came after %d", key, n, before)
				}
				last[key] = n
				seen[string(msg.Payload)] = true
			}
			msg.Ack()
		}
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 0 })
	})
}

func TestWhatNobodyWantsIsReadAndNotDelivered(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := onePartition(t, cfg, 0, "a", "b", "a", "b", "a", "b")
		cfg.Unwanted = func(value []byte) bool { return string(value) != "2" }
		s, err := kafkabus.NewWindowed(cfg, "g."+name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		msg := next(t, subscribe(t, s, name))
		if n, _ := number(msg); n != 2 {
			t.Errorf("%d was delivered", n)
		}
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 4 })
		msg.Ack()
		awaitLag(t, cfg, "g."+name, name, func(n int64) bool { return n == 0 })
	})
}

// The child of the next test acknowledges all but every seventh message, and tells what it
// acknowledges before it does so.
func TestWindowedChild(t *testing.T) {
	where := strings.Fields(os.Getenv("KAFKABUS_CHILD"))
	if len(where) != 3 {
		t.Skip("this is a part of TestAProcessKilledInMidWindowLosesNothing")
	}
	s, err := kafkabus.NewWindowed(kafkabus.Config{Brokers: []string{where[0]}}, where[2])
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.Subscribe(context.Background(), where[1])
	if err != nil {
		t.Fatal(err)
	}
	for msg := range in {
		n, _ := number(msg)
		if n%7 != 6 {
			fmt.Println("acknowledges", n)
			msg.Ack()
		}
	}
}

func TestAProcessKilledInMidWindowLosesNothing(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		const total, keys = 2000, 500
		all := make([]string, total)
		for n := range all {
			all[n] = fmt.Sprint("ord_", n%keys)
		}
		name := onePartition(t, cfg, 0, all...)
		group := "g." + name
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWindowedChild$", "-test.timeout=1m")
		child.Env = append(os.Environ(), "KAFKABUS_CHILD="+cfg.Brokers[0]+" "+name+" "+group)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := map[int64]bool{}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var n int64
				if _, err := fmt.Sscanf(lines.Text(), "acknowledges %d", &n); err == nil {
					acknowledged[n] = true
				}
			}
		}()
		awaitLag(t, cfg, group, name, func(n int64) bool { return n < total }) // it has committed something
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-read
		_ = child.Wait() // it was killed

		// The seventh record was never acknowledged, so nothing behind it may be committed.
		awaitLag(t, cfg, group, name, func(n int64) bool { return n == total-6 })
		if len(acknowledged) <= 6 {
			t.Fatalf("the child acknowledged only %v", acknowledged)
		}
		in := subscribe(t, subscribers("windowed")(t, cfg, group), name)
		last := map[string]int64{}
		for seen := 6; seen < total; seen++ {
			msg := next(t, in)
			n, key := number(msg)
			if before, came := last[key]; came && n != before+keys || !came && n >= keys && n-keys >= 6 {
				t.Fatalf("%s: %d came after %d", key, n, before)
			}
			last[key] = n
			msg.Ack()
		}
		awaitLag(t, cfg, group, name, func(n int64) bool { return n == 0 })
	})
}
