package kafkabus_test

import (
	"os"
	"path/filepath"
	"testing"

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

func firstOf(t *testing.T, cfg kafkabus.Config, name string) *kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for ctx := within(t); ctx.Err() == nil; {
		if all := client.PollFetches(ctx).Records(); len(all) > 0 {
			return all[0]
		}
	}
	t.Fatal("there is no record")
	return nil
}
