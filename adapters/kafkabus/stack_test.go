package kafkabus_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/kafkabus"
)

// patience bounds every wait; nothing waits that long when all is well.
const patience = 40 * time.Second

// onEachBroker runs a promise against kfake in process and, where there is one, Apache Kafka.
func onEachBroker(t *testing.T, promise func(t *testing.T, cfg kafkabus.Config)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		promise(t, kafkabus.Config{Brokers: fakeKafka(t), Partitions: 3, Logger: testLog(t)})
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		brokers := os.Getenv("TEST_KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("TEST_KAFKA_BROKERS is not set: no Apache Kafka to test against")
		}
		promise(t, kafkabus.Config{Brokers: strings.Split(brokers, ","), Partitions: 3, Logger: testLog(t)})
	})
}

// member is either of our subscribers.
type member interface {
	message.Subscriber
	Joined() <-chan struct{}
}

// members makes each of them, by the name in KAFKA_SUBSCRIBER.
var members = map[string]func(cfg kafkabus.Config, group string) (member, error){
	"plain":    func(cfg kafkabus.Config, group string) (member, error) { return kafkabus.NewSubscriber(cfg, group) },
	"windowed": func(cfg kafkabus.Config, group string) (member, error) { return kafkabus.NewWindowed(cfg, group) },
}

type newMember func(t *testing.T, cfg kafkabus.Config, group string) member

// onEachSubscriber runs a promise that both subscribers keep, against every broker.
func onEachSubscriber(t *testing.T, promise func(t *testing.T, cfg kafkabus.Config, subscriber newMember)) {
	t.Helper()
	for name := range members {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) { promise(t, cfg, subscribers(name)) })
		})
	}
}

func subscribers(name string) newMember {
	return func(t *testing.T, cfg kafkabus.Config, group string) member {
		t.Helper()
		s, err := members[name](cfg, group)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func fakeKafka(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// topic makes a topic that no other test has.
func topic(t *testing.T, cfg kafkabus.Config) string {
	t.Helper()
	name := "test." + uuid.NewString()
	admin := admin(t, cfg)
	if _, err := admin.EnsureTopics(within(t), kafkabus.Topic{Name: name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func admin(t *testing.T, cfg kafkabus.Config) *kafkabus.Admin {
	t.Helper()
	a, err := kafkabus.NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func publisher(t *testing.T, cfg kafkabus.Config) *kafkabus.Publisher {
	t.Helper()
	p, err := kafkabus.NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func subscribe(t *testing.T, s member, topic string) <-chan *message.Message {
	t.Helper()
	in, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func next(t *testing.T, in <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, ok := <-in:
		if !ok {
			t.Fatal("the channel was closed before the next message came")
		}
		return msg
	case <-time.After(patience):
		t.Fatal("no message came")
		return nil
	}
}

// order makes a message of one order.
func order(key, payload string) *message.Message {
	msg := message.NewMessage(uuid.NewString(), []byte(payload))
	msg.Metadata.Set("correlationId", key)
	return msg
}

// foreign is a producer that knows nothing of us.
func foreign(t *testing.T, cfg kafkabus.Config) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ProducerBatchMaxBytes(kafkabus.MaxRecordBytes))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
