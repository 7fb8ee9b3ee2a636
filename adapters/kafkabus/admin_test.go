package kafkabus_test

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/adapters/kafkabus"
	"millrace/domain/fault"
)

func TestTopicsAreMadeOnceAndLeftAlone(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		one, two := "test."+uuid.NewString(), "test."+uuid.NewString()
		a := admin(t, cfg)
		wanted := []kafkabus.Topic{{Name: one}, {Name: two, Partitions: 1, Retention: time.Hour}}
		for range 2 {
			different, err := a.EnsureTopics(within(t), wanted...)
			if err != nil || len(different) != 0 {
				t.Fatalf("%v %v", different, err)
			}
		}
		different, err := a.EnsureTopics(within(t), kafkabus.Topic{Name: one, Partitions: 5}, kafkabus.Topic{Name: two, Partitions: 1})
		if err != nil || len(different) != 1 || different[0] != (kafkabus.Mismatch{Topic: one, Want: 5, Have: 3}) {
			t.Errorf("another number of partitions gave %v %v", different, err)
		}

		configs, err := kadm.NewClient(foreign(t, cfg)).DescribeTopicConfigs(within(t), two)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, c := range configs[0].Configs {
			found[c.Key] = c.MaybeValue()
		}
		if found["retention.ms"] != "3600000" || found["max.message.bytes"] != strconv.Itoa(4<<20) {
			t.Errorf("retention.ms=%s max.message.bytes=%s", found["retention.ms"], found["max.message.bytes"])
		}
	})
}

func TestTopicsAreReadyWhenEveryPartitionHasALeader(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	name := "test." + uuid.NewString()
	var asked atomic.Int32
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		metadata, _ := req.(*kmsg.MetadataRequest)
		if len(metadata.Topics) != 1 || *metadata.Topics[0].Topic != name {
			return nil, nil, false
		}
		if asked.Add(1) > 3 {
			return nil, nil, false
		}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = kmsg.StringPtr(name), kerr.LeaderNotAvailable.Code
		answer, _ := metadata.ResponseKind().(*kmsg.MetadataResponse)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	if _, err := admin(t, kafkabus.Config{Brokers: cluster.ListenAddrs()}).EnsureTopics(within(t), kafkabus.Topic{Name: name}); err != nil {
		t.Fatal(err)
	}
	if asked.Load() <= 3 {
		t.Errorf("it did not wait for a leader: it asked %d times", asked.Load())
	}
}

func TestWithReplicasTwoMustBeInSync(t *testing.T) {
	t.Parallel()
	cfg := kafkabus.Config{Brokers: fakeKafka(t, kfake.NumBrokers(3)), Partitions: 2, Replication: 3}
	name := topic(t, cfg)
	configs, err := kadm.NewClient(foreign(t, cfg)).DescribeTopicConfigs(within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "min.insync.replicas" && c.MaybeValue() == "2" {
			return
		}
	}
	t.Error("min.insync.replicas is not 2")
}

func TestLagCountsWhatAGroupHasNotAcknowledged(t *testing.T) {
	t.Parallel()
	onEachSubscriber(t, func(t *testing.T, cfg kafkabus.Config, subscriber newMember) {
		name := topic(t, cfg)
		p := publisher(t, cfg)
		for range 5 {
			if err := p.Publish(name, order("ord_1", "x")); err != nil {
				t.Fatal(err)
			}
		}
		s := subscriber(t, cfg, "reader."+name)
		in := subscribe(t, s, name)
		next(t, in).Ack()
		next(t, in).Ack()
		next(t, in) // in hand
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}

		reader, idle := kafkabus.Group{Name: "reader." + name, Topic: name}, kafkabus.Group{Name: "idle." + name, Topic: name}
		lags, err := admin(t, cfg).Lag(within(t), reader, idle)
		if err != nil {
			t.Fatal(err)
		}
		if len(lags) != 2 || lags[0] != (kafkabus.GroupLag{Group: reader, Records: 3}) || lags[1] != (kafkabus.GroupLag{Group: idle, Records: 5}) {
			t.Errorf("lags are %+v", lags)
		}
	})
}

func TestPingTellsWhenKafkaIsAwayAndWhenItIsBack(t *testing.T) {
	t.Parallel()
	for kind := range members {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			awayAndBack(t, subscribers(kind))
		})
	}
}

func awayAndBack(t *testing.T, subscriber newMember) {
	start := restartable(t, t.TempDir())
	address, stop := start()
	cfg := kafkabus.Config{Brokers: []string{address}, Partitions: 1, Logger: testLog(t)}
	a, p := admin(t, cfg), publisher(t, cfg)
	name := topic(t, cfg)
	if err := a.Ping(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(name, order("ord_1", "before")); err != nil {
		t.Fatal(err)
	}
	in := subscribe(t, subscriber(t, cfg, "g."+name), name)
	next(t, in).Ack()

	stop()
	if err := a.Ping(within(t)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without Kafka: %v", err)
	}
	if err := p.Publish(name, order("ord_1", "during")); fault.KindOf(err) != fault.Unavailable || kafkabus.IsPermanent(err) {
		t.Errorf("publish without Kafka: %v", err)
	}

	start()
	if err := a.Ping(within(t)); err != nil {
		t.Errorf("Kafka is back: %v", err)
	}
	if err := p.Publish(name, order("ord_1", "after")); err != nil {
		t.Errorf("publish, Kafka is back: %v", err)
	}
	for msg := next(t, in); string(msg.Payload) != "after"; msg = next(t, in) {
		msg.Ack() // what was acknowledged within the last second may come again
	}
}

func TestPingGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = admin(t, kafkabus.Config{Brokers: []string{silent.Addr().String()}}).Ping(ctx)
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ping gave %v", err)
	}
}

// restartable gives a start of kfake over the same data, on whatever port it had first.
func restartable(t *testing.T, dir string) (start func() (address string, stop func())) {
	t.Helper()
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SyncWrites()}
	first := true
	return func() (string, func()) {
		cluster, err := kfake.NewCluster(options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		address := cluster.ListenAddrs()[0]
		if first {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			options, first = append(options, kfake.Ports(number)), false
		}
		return address, cluster.Close
	}
}
