package kafkabus

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// As sarama comes, the first record of a batch is a request of its own, and the others follow in
// several: whoever gathers messages gets five requests for one, and the readers as many answers.
func TestABatchIsOneRequest(t *testing.T) {
	t.Parallel()
	const topic, batches, records = "test", 20, 50
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var requests atomic.Int32
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	cfg, err := Config{Brokers: cluster.ListenAddrs()}.withDefaults().saramaConfig()
	if err != nil {
		t.Fatal(err)
	}
	producer, err := sarama.NewSyncProducer(cluster.ListenAddrs(), batched(*cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	for range batches {
		var batch []*sarama.ProducerMessage
		for i := range records {
			batch = append(batch, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.StringEncoder("x")})
		}
		if err := producer.SendMessages(batch); err != nil {
			t.Fatal(err)
		}
	}
	// On a machine that is busy with something else a batch may be cut where it takes its time. By default it is
	// more than five requests.
	if n := requests.Load(); n < batches || n > batches*3 {
		t.Errorf("%d batches were %d requests", batches, n)
	}
}
