package kafkabus_test

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/kafkabus"
)

// A broker that lost its disk gives ids away that running producers have: with such an id a message
// can be taken for a repetition of somebody else's, acknowledged and thrown away.
func TestAProducerAsksForAnIDOfItsOwnWhenTheBrokerHasLostEverything(t *testing.T) {
	t.Parallel()
	b := newMortal(t)
	b.wipe(t) // while nothing is under way
	name := topic(t, b.cfg)
	if err := b.publisher.Publish(name, order("ord_1", "after")); err != nil {
		t.Fatal(err)
	}
	if after := firstOf(t, b.cfg, name); string(after.Value) != "after" || b.ids[after.ProducerID] {
		t.Errorf("%q came under the producer id %d, which was given by the broker that is gone", after.Value, after.ProducerID)
	}
}

// What was under way when the connection ended is no exception: the client's own retry would send it to
// the broker that came back empty, under the old id. Those who wait for it try again by themselves.
func TestWhatWasUnderWayWhenTheBrokerWasLostGoesUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newMortal(t)
	const callers = 16
	var (
		back atomic.Bool
		busy sync.WaitGroup
		sent = make(chan struct{}, 1)
	)
	for range callers { // so that some of them always wait for an answer
		busy.Go(func() {
			for t.Context().Err() == nil {
				late := back.Load()
				if err := b.publisher.Publish(b.topic, order("ord_1", "during")); err != nil {
					continue
				}
				if late {
					return
				}
				select {
				case sent <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 10 * callers { // all of them are at it
		<-sent
	}
	b.wipe(t)
	if _, err := admin(t, b.cfg).EnsureTopics(within(t), kafkabus.Topic{Name: b.topic}); err != nil {
		t.Fatal(err)
	}
	back.Store(true)
	busy.Wait()
	for _, r := range recordsOf(t, b.cfg, b.topic, callers) {
		if b.ids[r.ProducerID] {
			t.Errorf("offset %d came under the producer id %d, which was given by the broker that is gone", r.Offset, r.ProducerID)
		}
	}
}

// mortal is a broker that can be lost with its disk, and a publisher whose producers have their ids of it: that of a
// message by itself, and that of batches.
type mortal struct {
	cfg       kafkabus.Config
	publisher *kafkabus.Publisher
	topic     string
	ids       map[int64]bool
	wipe      func(t *testing.T) // it ends, and comes back empty
}

func newMortal(t *testing.T) mortal {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kafka")
	start := restartable(t, dir)
	address, stop := start()
	b := mortal{cfg: kafkabus.Config{Brokers: []string{address}, Partitions: 1, Logger: testLog(t)}}
	b.publisher = publisher(t, b.cfg)
	b.topic = topic(t, b.cfg)
	if err := b.publisher.Publish(b.topic, order("ord_1", "before")); err != nil {
		t.Fatal(err)
	}
	for sent := 1; len(b.ids) < 2; sent += 16 { // one by itself, and then so many at once that some are a batch
		var busy sync.WaitGroup
		for range 16 {
			busy.Go(func() {
				if err := b.publisher.Publish(b.topic, order("ord_1", "before")); err != nil {
					t.Error(err)
				}
			})
		}
		busy.Wait()
		b.ids = map[int64]bool{}
		for _, r := range recordsOf(t, b.cfg, b.topic, sent+16) {
			b.ids[r.ProducerID] = true
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	b.wipe = func(t *testing.T) {
		t.Helper()
		stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		start()
	}
	return b
}

// A client that looks for its broker has no id yet, and may try one address after another.
func TestAnAddressThatTakesConnectionsAndEndsThemIsOneOfSeveral(t *testing.T) {
	t.Parallel()
	sick, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sick.Close() })
	go func() {
		for {
			c, err := sick.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	address, _ := restartable(t, filepath.Join(t.TempDir(), "kafka"))()
	cfg := kafkabus.Config{Brokers: []string{address}, Partitions: 1, Logger: testLog(t)}
	name := topic(t, cfg)
	cfg.Brokers = []string{sick.Addr().String(), address}
	for range 8 { // which of them is asked first is left to chance
		if err := publisher(t, cfg).Publish(name, order("ord_1", "x")); err != nil {
			t.Fatal(err)
		}
	}
}

func firstOf(t *testing.T, cfg kafkabus.Config, name string) *kgo.Record {
	t.Helper()
	return recordsOf(t, cfg, name, 1)[0]
}

// recordsOf gives the topic's first records, at least n.
func recordsOf(t *testing.T, cfg kafkabus.Config, name string, n int) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for ctx := within(t); len(all) < n; {
		all = append(all, client.PollFetches(ctx).Records()...)
		if ctx.Err() != nil {
			t.Fatalf("there are %d records, want %d", len(all), n)
		}
	}
	return all
}
