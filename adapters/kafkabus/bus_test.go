package kafkabus_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/kafkabus"
	"millrace/app/messages"
	"millrace/domain/fault"
)

func TestAMessageArrivesWithItsKeyHeadersAndPlace(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		sent := order("ord_1", `{"any":"bytes"}`)
		sent.Metadata.Set("eventId", sent.UUID)
		sent.Metadata.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		sent.Metadata.Set("ce_type", "OrderCreated")
		before := time.Now().Add(-time.Minute)
		if err := publisher(t, cfg).Publish(name, sent); err != nil {
			t.Fatal(err)
		}

		got := next(t, subscribe(t, subscriber(t, cfg, "g."+name), name))
		defer got.Ack()

		if got.UUID != sent.UUID || !bytes.Equal(got.Payload, sent.Payload) || !maps.Equal(got.Metadata, sent.Metadata) {
			t.Errorf("read %s %s %v\nsent %s %s %v", got.UUID, got.Payload, got.Metadata, sent.UUID, sent.Payload, sent.Metadata)
		}
		where, partition, offset, key, at := kafkabus.Origin(got)
		if where != name || partition < 0 || partition > 2 || offset != 0 || string(key) != "ord_1" || at.Before(before) {
			t.Errorf("origin is %s/%d@%d key %q at %s", where, partition, offset, key, at)
		}
	})
}

func TestMessagesOfOneOrderKeepTheirOrderAndShareAPartitionWithForeignWriters(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		for n := range 20 {
			if err := p.Publish(name, order(fmt.Sprintf("ord_%d", n%4), fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 4 { // Java's and librdkafka's murmur2 place the same key at the same spot
			record := &kgo.Record{Topic: name, Key: fmt.Appendf(nil, "ord_%d", n), Value: fmt.Append(nil, 20+n)}
			if err := foreign(t, cfg).ProduceSync(within(t), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}

		in := subscribe(t, subscriber(t, cfg, "g."+name), name)
		last, place := map[string]int{}, map[string]int32{}
		for range 24 {
			msg := next(t, in)
			_, partition, _, key, _ := kafkabus.Origin(msg)
			var n int
			if _, err := fmt.Sscan(string(msg.Payload), &n); err != nil {
				t.Fatal(err)
			}
			if before, seen := last[string(key)]; seen && (before >= n || place[string(key)] != partition) {
				t.Errorf("%s: %d on partition %d came after %d on %d", key, n, partition, before, place[string(key)])
			}
			last[string(key)], place[string(key)] = n, partition
			msg.Ack()
		}
	})
}

func TestAForeignRecordWithoutAnIDIsNamedByItsPlace(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		records := []*kgo.Record{
			{Topic: name, Value: []byte("not JSON")},
			{Topic: name, Value: nil, Headers: []kgo.RecordHeader{{Key: "eventId", Value: []byte("not a UUID")}}},
			{Topic: name, Value: bytes.Repeat([]byte{0xff, 0}, 1<<20), Headers: []kgo.RecordHeader{{Key: "", Value: nil}, {Key: "x", Value: []byte{0xff}}}},
		}
		if err := foreign(t, cfg).ProduceSync(within(t), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}

		in := subscribe(t, subscriber(t, cfg, "g."+name), name)
		seen := map[string]bool{}
		for range records {
			msg := next(t, in)
			where, partition, offset, key, at := kafkabus.Origin(msg)
			if msg.UUID != messages.ForeignID(where, partition, offset, at) || key != nil {
				t.Errorf("record %s/%d@%d has id %s and key %q", where, partition, offset, msg.UUID, key)
			}
			seen[msg.UUID] = true
			msg.Ack()
		}
		if len(seen) != len(records) {
			t.Errorf("%d records have %d ids", len(records), len(seen))
		}
	})
}

func TestRecordsUpTo4MiBPassAndLargerOnesAreRefusedForGood(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		big := order("ord_1", string(bytes.Repeat([]byte("x"), kafkabus.MaxRecordBytes-4096)))
		if err := p.Publish(name, big); err != nil {
			t.Fatal(err)
		}
		err := p.Publish(name, order("ord_1", string(bytes.Repeat([]byte("x"), kafkabus.MaxRecordBytes+1))))
		if !kafkabus.IsPermanent(err) || fault.KindOf(err) != fault.Invalid {
			t.Errorf("a record that is too large gave %v, kind %v", err, fault.KindOf(err))
		}
		if err := p.Publish(name, order("ord_1", "next")); err != nil {
			t.Errorf("the message behind it: %v", err)
		}

		in := subscribe(t, subscriber(t, cfg, "g."+name), name)
		msg := next(t, in)
		if len(msg.Payload) != len(big.Payload) {
			t.Errorf("read %d bytes of %d", len(msg.Payload), len(big.Payload))
		}
		msg.Ack()
		msg = next(t, in)
		if string(msg.Payload) != "next" {
			t.Errorf("then came %.20q", msg.Payload)
		}
		msg.Ack()
	})
}

func TestManyPublishAtOnceAndEachHearsItsOwnFate(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		fates := make([]error, 120)
		var all sync.WaitGroup
		for n := range fates {
			all.Go(func() {
				to, payload := name, fmt.Sprint(n)
				switch n {
				case 10, 50:
					payload = strings.Repeat("x", kafkabus.MaxRecordBytes-4096)
				case 30:
					payload = strings.Repeat("x", kafkabus.MaxRecordBytes+1)
				case 60:
					to = "test." + uuid.NewString() // nobody has made it
				case 90:
					to = "no such/topic name"
				}
				fates[n] = p.Publish(to, order(fmt.Sprint("ord_", n), payload))
			})
		}
		all.Wait()
		for n, err := range fates {
			switch n {
			case 30, 90:
				if !kafkabus.IsPermanent(err) {
					t.Errorf("%d, which can never be sent, gave %v", n, err)
				}
			case 60:
				if err == nil || kafkabus.IsPermanent(err) {
					t.Errorf("%d, for a missing topic, gave %v", n, err)
				}
			default:
				if err != nil {
					t.Errorf("%d: %v", n, err)
				}
			}
		}
		in := subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)
		read := map[string]bool{}
		for range len(fates) - 3 {
			msg := next(t, in)
			_, _, _, key, _ := kafkabus.Origin(msg)
			read[string(key)] = true
			msg.Ack()
		}
		if len(read) != len(fates)-3 {
			t.Errorf("%d of %d messages were read", len(read), len(fates)-3)
		}
	})
}

func TestAMissingTopicIsNoReasonToGiveAMessageUp(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := "test." + uuid.NewString()
		p := publisher(t, cfg)
		err := p.Publish(name, order("ord_1", "early"))
		if err == nil || kafkabus.IsPermanent(err) || fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("a missing topic gave %v, kind %v", err, fault.KindOf(err))
		}
		if _, err := admin(t, cfg).EnsureTopics(within(t), kafkabus.Topic{Name: name}); err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(name, order("ord_1", "late")); err != nil {
			t.Errorf("after the topic was made: %v", err)
		}
		err = p.Publish("no such/topic name", order("ord_1", "never"))
		if !kafkabus.IsPermanent(err) {
			t.Errorf("a topic that cannot exist gave %v", err)
		}
	})
}

func TestAGroupReadsWhatWasWrittenBeforeItExisted(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		for n := range 10 {
			if err := p.Publish(name, order(fmt.Sprint("ord_", n), "x")); err != nil {
				t.Fatal(err)
			}
		}
		for _, group := range []string{"one.", "two."} {
			in := subscribe(t, subscriber(t, cfg, group+name), name)
			for range 10 {
				next(t, in).Ack()
			}
		}
	})
}

func TestARestartLosesNoMessage(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		const total = 30
		for n := range total {
			if err := p.Publish(name, order(fmt.Sprint("ord_", n), fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		handled := map[string]bool{}
		for round := 0; len(handled) < total; round++ {
			if round > total {
				t.Fatalf("after %d restarts %d of %d were handled", round, len(handled), total)
			}
			s := subscriber(t, cfg, "g."+name)
			in := subscribe(t, s, name)
			for range 7 { // some are acknowledged, one is in hand when the service stops
				msg := next(t, in)
				handled[string(msg.Payload)] = true
				msg.Ack()
				if len(handled) == total {
					break
				}
			}
			if len(handled) < total {
				next(t, in)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, open := <-in; open {
				t.Error("a message came after the subscriber was closed")
			}
		}
	})
}

func TestANackedMessageComesAgainAndThoseBehindItWait(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		if err := p.Publish(name, order("ord_1", "first"), order("ord_1", "second")); err != nil {
			t.Fatal(err)
		}
		in := subscribe(t, subscriber(t, cfg, "g."+name), name)
		first := next(t, in)
		at := time.Now()
		first.Nack()
		again := next(t, in)
		if pause := time.Since(at); pause < 500*time.Millisecond {
			t.Errorf("it came again after %s: refusing it would spin", pause)
		}
		if string(again.Payload) != "first" || again.UUID != first.UUID {
			t.Errorf("after a refusal came %q", again.Payload)
		}
		if where, _, offset, key, _ := kafkabus.Origin(again); where != name || offset != 0 || string(key) != "ord_1" {
			t.Errorf("the second delivery forgot its origin: %s@%d %q", where, offset, key)
		}
		again.Ack()
		second := next(t, in)
		if string(second.Payload) != "second" {
			t.Errorf("then came %q", second.Payload)
		}
		second.Ack()
	})
}

func TestAClosedBusRefuses(t *testing.T) {
	t.Parallel()
	for name := range members {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kafkabus.Config{Brokers: []string{"127.0.0.1:1"}, Logger: testLog(t)}
			p, s := publisher(t, cfg), subscribers(name)(t, cfg, "g")
			in := subscribe(t, s, "t") // nothing listens there: it waits, and can be closed
			for _, closer := range []interface{ Close() error }{p, s, p, s} {
				if err := closer.Close(); err != nil {
					t.Error(err)
				}
			}
			if _, open := <-in; open {
				t.Error("a closed subscriber delivered a message")
			}
			if err := p.Publish("t", message.NewMessage("", nil)); fault.CodeOf(err) != "bus_closed" {
				t.Errorf("publish: %v", err)
			}
			if _, err := s.Subscribe(t.Context(), "t"); fault.CodeOf(err) != "bus_closed" {
				t.Errorf("subscribe: %v", err)
			}
		})
	}
}
