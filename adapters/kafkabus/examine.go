package kafkabus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// Weakness is a setting of the broker under which messages are lost, come out of order, or cannot
// be written.
type Weakness struct {
	Setting string // as it is called where it is set: Kafka's own name, or KAFKA_PARTITIONS and the like
	Detail  string // what it is, on which topics, and what comes of it
	Advice  string // what to do

	// Unknown: it could not be looked at, and may be as it should.
	Unknown bool
}

// Examine looks at what the broker says of topics that exist. Those that do not are passed over:
// EnsureTopics makes them as they should be. It changes nothing. It fails with fault.Unavailable.
func (a *Admin) Examine(ctx context.Context, topics ...Topic) ([]Weakness, error) {
	var found findings
	err := a.ask(ctx, func(c *connection) error {
		found = findings{}
		existing, err := c.admin.ListTopics()
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		asked := map[string]Topic{}
		var resources []*sarama.ConfigResource
		for _, topic := range topics {
			if _, there := existing[topic.Name]; there {
				asked[topic.Name] = a.withDefaults(topic)
				resources = append(resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: topic.Name})
			}
		}
		results, err := c.admin.DescribeConfigs(resources, sarama.DescribeConfigsOptions{})
		if err != nil {
			return fmt.Errorf("describe the settings of topics: %w", err)
		}
		slices.SortFunc(results, func(a, b *sarama.ConfigResourceResult) int { return strings.Compare(a.Name, b.Name) })
		for _, r := range results {
			switch r.ErrorCode {
			case sarama.ErrNoError:
				a.examine(&found, asked[r.Name], existing[r.Name], settingsOf(r.Configs))
			case sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed:
				found.add(r.Name, Weakness{
					Setting: "DESCRIBE_CONFIGS", Unknown: true,
					Detail: "is not allowed to us, so nobody knows whether the topic is safe", Advice: "allow the operation DescribeConfigs on our topics",
				})
			default:
				return fmt.Errorf("describe the settings of topic %s: %w", r.Name, r.ErrorCode)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}

func settingsOf(entries []sarama.ConfigEntry) map[string]string {
	settings := make(map[string]string, len(entries))
	for _, e := range entries {
		settings[e.Name] = e.Value
	}
	return settings
}

// examine looks at one topic, each line with what would come of it. A setting that the broker does
// not tell is passed over.
func (a *Admin) examine(found *findings, topic Topic, detail sarama.TopicDetail, settings map[string]string) {
	add := func(wrong bool, setting, says, advice string) {
		if wrong {
			found.add(topic.Name, Weakness{Setting: setting, Detail: says, Advice: advice})
		}
	}
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		return n, err == nil
	}

	add(detail.NumPartitions != topic.Partitions, "KAFKA_PARTITIONS",
		fmt.Sprintf("is %d and there are %d", topic.Partitions, detail.NumPartitions),
		"set it to what is there; another number moves orders to other partitions and needs a drain first, as docs/topology.md says")
	replicas := detail.ReplicationFactor
	add(replicas < a.cfg.Replication, "KAFKA_REPLICATION",
		fmt.Sprintf("is %d and there are %d", a.cfg.Replication, replicas),
		"give the topic more replicas with kafka-reassign-partitions.sh")

	if inSync, ok := number("min.insync.replicas"); ok {
		add(replicas > 1 && inSync < 2, "min.insync.replicas",
			fmt.Sprintf("is %d of %d replicas, so a record that was acknowledged may be on one disk alone", inSync, replicas), "set 2")
		add(inSync > int64(replicas), "min.insync.replicas",
			fmt.Sprintf("is %d and there are %d replicas, so nothing can be written", inSync, replicas), "set it below the number of replicas")
		add(replicas > 1 && inSync == int64(replicas), "min.insync.replicas",
			fmt.Sprintf("is %d of %d replicas, so nothing can be written while one broker is away", inSync, replicas), "set 2, and have 3 replicas")
	}
	add(settings["unclean.leader.election.enable"] == "true", "unclean.leader.election.enable",
		"is true, so a replica that lacks acknowledged records may become the leader", "set false")
	add(strings.Contains(settings["cleanup.policy"], "compact"), "cleanup.policy",
		"is "+settings["cleanup.policy"]+", so of an order's messages only the last one is kept", "set delete")
	if kept, ok := number("retention.ms"); ok {
		asked := topic.Retention.Milliseconds()
		add(kept >= 0 && kept < asked, "retention.ms",
			fmt.Sprintf("is %s, shorter than KAFKA_RETENTION, so a consumer that is away for longer misses messages", span(kept)),
			fmt.Sprintf("set it to %d", asked))
		add(kept < 0 || kept > asked, "retention.ms",
			fmt.Sprintf("is %s, longer than KAFKA_RETENTION, so messages may come again after INBOX_RETENTION", span(kept)),
			fmt.Sprintf("set it to %d, or KAFKA_RETENTION and INBOX_RETENTION to what they have to be", asked))
	}
	if bytes, ok := number("retention.bytes"); ok {
		add(bytes >= 0, "retention.bytes",
			fmt.Sprintf("is %d, so messages may go before anybody has read them", bytes), "set -1")
	}
	if largest, ok := number("max.message.bytes"); ok {
		add(largest < MaxRecordBytes, "max.message.bytes",
			fmt.Sprintf("is %d, so messages that we may send are refused", largest), fmt.Sprintf("set %d", MaxRecordBytes))
	}
}

func span(ms int64) string {
	if ms < 0 {
		return "unlimited"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// findings are weaknesses with the topics that have them.
type findings struct {
	all    []Weakness
	topics [][]string
}

func (f *findings) add(topic string, w Weakness) {
	for i, known := range f.all {
		if known == w {
			f.topics[i] = append(f.topics[i], topic)
			return
		}
	}
	f.all, f.topics = append(f.all, w), append(f.topics, []string{topic})
}

// list gives each weakness once, in a line.
func (f *findings) list() []Weakness {
	listed := slices.Clone(f.all)
	for i := range listed {
		what := "topic"
		if len(f.topics[i]) > 1 {
			what = "topics"
		}
		listed[i].Detail += fmt.Sprintf(" (%s %s)", what, strings.Join(f.topics[i], ", "))
	}
	return listed
}
