package kafkabus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// Topic is one that must exist. Zero fields take the Config's values.
type Topic struct {
	Name       string
	Partitions int32
	Retention  time.Duration
}

// Mismatch is a topic that exists with another number of partitions than asked for. It works, and
// is left alone: with the number, the place of every key would change.
type Mismatch struct {
	Topic      string
	Want, Have int32
}

// String is a sentence for the log.
func (m Mismatch) String() string {
	return fmt.Sprintf("topic %s has %d partitions, not %d as set; it was left as it is", m.Topic, m.Have, m.Want)
}

// EnsureTopics makes the topics that are missing and returns when every partition of all of them
// has a leader, so that the first message can be written. Those that exist are left as they are;
// where their number of partitions differs it says so. It fails with fault.Unavailable when Kafka
// cannot be reached, refuses, or ctx ends first.
func (a *Admin) EnsureTopics(ctx context.Context, topics ...Topic) ([]Mismatch, error) {
	var different []Mismatch
	err := a.ask(ctx, func(c *connection) error {
		existing, err := c.admin.ListTopics()
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		names := make([]string, 0, len(topics))
		for _, topic := range topics {
			topic = a.withDefaults(topic)
			names = append(names, topic.Name)
			if have, ok := existing[topic.Name]; ok {
				if have.NumPartitions != topic.Partitions {
					different = append(different, Mismatch{topic.Name, topic.Partitions, have.NumPartitions})
				}
				continue
			}
			err := c.admin.CreateTopic(topic.Name, a.detail(topic), false)
			if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) { // another process was first
				return fmt.Errorf("create topic %s: %w", topic.Name, err)
			}
		}
		return awaitLeaders(ctx, c.admin, names)
	})
	if err != nil {
		return nil, err
	}
	return different, nil
}

func (a *Admin) withDefaults(t Topic) Topic {
	if t.Partitions == 0 {
		t.Partitions = a.cfg.Partitions
	}
	if t.Retention == 0 {
		t.Retention = a.cfg.Retention
	}
	return t
}

func (a *Admin) detail(t Topic) *sarama.TopicDetail {
	retention := strconv.FormatInt(t.Retention.Milliseconds(), 10)
	largest := strconv.Itoa(MaxRecordBytes)
	detail := &sarama.TopicDetail{
		NumPartitions:     t.Partitions,
		ReplicationFactor: a.cfg.Replication,
		ConfigEntries:     map[string]*string{"retention.ms": &retention, "max.message.bytes": &largest},
	}
	if a.cfg.Replication > 1 {
		inSync := "2" // acks=all means nothing when the leader may be all there is
		detail.ConfigEntries["min.insync.replicas"] = &inSync
	}
	return detail
}

// awaitLeaders returns when every partition has a leader: until then a producer is refused.
func awaitLeaders(ctx context.Context, admin sarama.ClusterAdmin, names []string) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		described, err := admin.DescribeTopics(names)
		if err == nil && led(described, len(names)) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func led(topics []*sarama.TopicMetadata, want int) bool {
	if len(topics) < want {
		return false
	}
	for _, topic := range topics {
		if topic.Err != sarama.ErrNoError || len(topic.Partitions) == 0 {
			return false
		}
		for _, partition := range topic.Partitions {
			if partition.Err != sarama.ErrNoError || partition.Leader < 0 {
				return false
			}
		}
	}
	return true
}

// Partitions gives the number of partitions of every topic that exists. It fails with
// fault.Unavailable.
func (a *Admin) Partitions(ctx context.Context) (map[string]int32, error) {
	found := make(map[string]int32)
	err := a.ask(ctx, func(c *connection) error {
		existing, err := c.admin.ListTopics()
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		for name, detail := range existing {
			found[name] = detail.NumPartitions
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
