package kafkabus_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"millrace/adapters/kafkabus"
)

// TestTheBusKeepsWatermillsPromises runs Watermill's own suite for publishers and subscribers.
func TestTheBusKeepsWatermillsPromises(t *testing.T) {
	t.Parallel()
	cfg := kafkabus.Config{Brokers: fakeKafka(t), Partitions: 3, Logger: testLog(t)}
	withGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		p, err := kafkabus.NewPublisher(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := kafkabus.NewSubscriber(cfg, group)
		if err != nil {
			t.Fatal(err)
		}
		return p, prepared{s, admin(t, cfg)}
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups: true,
		Persistent:     true,
		ForceShort:     true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return withGroup(t, "suite") }, withGroup)
}

// prepared makes a topic where the suite asks for it.
type prepared struct {
	*kafkabus.Subscriber
	admin *kafkabus.Admin
}

// SubscribeInitialize implements message.SubscribeInitializer.
func (p prepared) SubscribeInitialize(topic string) error {
	_, err := p.admin.EnsureTopics(context.Background(), kafkabus.Topic{Name: topic})
	return err
}
