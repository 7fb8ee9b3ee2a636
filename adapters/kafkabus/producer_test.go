package kafkabus_test

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/kafkabus"
)

// A broker that lost its disk gives ids away that running producers have: with such an id a message
// can be taken for a repetition of somebody else's, acknowledged and thrown away.
func TestAProducerAsksForAnIDOfItsOwnWhenTheBrokerHasLostEverything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kafka")
	start := restartable(t, dir)
	address, stop := start()
	cfg := kafkabus.Config{Brokers: []string{address}, Partitions: 1, Logger: testLog(t)}
	p := publisher(t, cfg)
	name := topic(t, cfg)
	if err := p.Publish(name, order("ord_1", "before")); err != nil {
		t.Fatal(err)
	}
	before := firstOf(t, cfg, name).ProducerID

	stop() // while nothing is under way
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	start()
	name = topic(t, cfg)
	if err := p.Publish(name, order("ord_1", "after")); err != nil {
		t.Fatal(err)
	}
	if after := firstOf(t, cfg, name); string(after.Value) != "after" || after.ProducerID == before {
		t.Errorf("%q came under the producer id %d, which was given by the broker that is gone", after.Value, after.ProducerID)
	}
}

// What was under way when the connection ended is no exception: the client's own retry would send it to
// the broker that came back empty, under the old id. Those who wait for it try again by themselves.
func TestWhatWasUnderWayWhenTheBrokerWasLostGoesUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kafka")
	start := restartable(t, dir)
	address, stop := start()
	cfg := kafkabus.Config{Brokers: []string{address}, Partitions: 1, Logger: testLog(t)}
	p := publisher(t, cfg)
	name := topic(t, cfg)
	if err := p.Publish(name, order("ord_1", "before")); err != nil {
		t.Fatal(err)
	}
	before := firstOf(t, cfg, name).ProducerID

	const callers = 16
	var back atomic.Bool
	var busy sync.WaitGroup
	for range callers { // so that some of them always wait for an answer
		busy.Go(func() {
			for t.Context().Err() == nil {
				late := back.Load()
				if err := p.Publish(name, order("ord_1", "during")); err == nil && late {
					return
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	start()
	if _, err := admin(t, cfg).EnsureTopics(within(t), kafkabus.Topic{Name: name}); err != nil {
		t.Fatal(err)
	}
	back.Store(true)
	busy.Wait()
	for _, r := range recordsOf(t, cfg, name, callers) {
		if r.ProducerID == before {
			t.Errorf("offset %d came under the producer id %d, which was given by the broker that is gone", r.Offset, before)
		}
	}
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
