package kafkabus_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"millrace/adapters/kafkabus"
)

// TestTheBusKeepsWatermillsPromises runs Watermill's own suite for publishers and subscribers.
func TestTheBusKeepsWatermillsPromises(t *testing.T) {
	t.Parallel()
	for name := range members {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) { suite(t, cfg, name) })
		})
	}
}

func suite(t *testing.T, cfg kafkabus.Config, name string) {
	withGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		p, err := kafkabus.NewPublisher(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p, &perTopic{cfg: cfg, make: members[name], group: group, admin: admin(t, cfg)}
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups: true,
		Persistent:     true,
		ForceShort:     true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return withGroup(t, "suite") }, withGroup)
}

// perTopic reads every topic as a member of that topic's own group, as the services do: members of
// one group that read different topics wait for each other in every rebalance.
type perTopic struct {
	cfg   kafkabus.Config
	make  func(cfg kafkabus.Config, group string) (member, error)
	group string
	admin *kafkabus.Admin

	mu   sync.Mutex
	open []member
}

// Subscribe implements message.Subscriber.
func (p *perTopic) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s, err := p.make(p.cfg, p.group+"."+topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.open = append(p.open, s)
	p.mu.Unlock()
	return s.Subscribe(ctx, topic)
}

// SubscribeInitialize implements message.SubscribeInitializer: it makes the topic.
func (p *perTopic) SubscribeInitialize(topic string) error {
	_, err := p.admin.EnsureTopics(context.Background(), kafkabus.Topic{Name: topic})
	return err
}

// Close implements message.Subscriber.
func (p *perTopic) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.open {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
