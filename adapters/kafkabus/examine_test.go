package kafkabus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/adapters/kafkabus"
)

func TestATopicThatWeMadeHasNoWeakness(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		name := topic(t, cfg)
		found, err := admin(t, cfg).Examine(within(t), kafkabus.Topic{Name: name}, kafkabus.Topic{Name: "test." + uuid.NewString()})
		if err != nil || len(found) != 0 {
			t.Errorf("%v %v", found, err)
		}
	})
}

func TestEveryUnsafeSettingOfATopicIsNamed(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, cfg kafkabus.Config) {
		for setting, value := range map[string]string{
			"unclean.leader.election.enable": "true",
			"cleanup.policy":                 "compact,delete",
			"retention.ms":                   "3600000",
			"retention.bytes":                "1000000",
			"max.message.bytes":              "1048576",
			"min.insync.replicas":            "2", // of one replica
		} {
			wantWeakness(t, cfg, cfg.Partitions, map[string]*string{setting: &value}, setting)
		}
		unlimited := "-1"
		wantWeakness(t, cfg, cfg.Partitions, map[string]*string{"retention.ms": &unlimited}, "retention.ms")
		wantWeakness(t, cfg, 5, nil, "KAFKA_PARTITIONS")
		asked := cfg
		asked.Replication = 3
		wantWeakness(t, asked, cfg.Partitions, nil, "KAFKA_REPLICATION")
	})
}

// wantWeakness makes a topic and wants one weakness of it, which names the topic.
func wantWeakness(t *testing.T, cfg kafkabus.Config, partitions int32, settings map[string]*string, want string) {
	t.Helper()
	name := "test." + uuid.NewString()
	sound := map[string]string{
		"retention.ms": "604800000", "max.message.bytes": "4194304", "cleanup.policy": "delete", "retention.bytes": "-1",
		"unclean.leader.election.enable": "false", "min.insync.replicas": "1",
	}
	if settings == nil {
		settings = map[string]*string{}
	}
	for setting, value := range sound {
		if settings[setting] == nil {
			settings[setting] = &value
		}
	}
	made, err := kadm.NewClient(foreign(t, cfg)).CreateTopic(within(t), partitions, 1, settings, name)
	if err != nil || made.Err != nil {
		t.Fatalf("make a topic: %v %v", err, made.Err)
	}
	a := admin(t, cfg)
	if _, err := a.EnsureTopics(within(t), kafkabus.Topic{Name: name}); err != nil { // it has leaders then, and is there
		t.Fatal(err)
	}
	found, err := a.Examine(within(t), kafkabus.Topic{Name: name})
	if err != nil || len(found) != 1 || found[0].Setting != want || !strings.Contains(found[0].Detail, name) || found[0].Advice == "" || found[0].Unknown {
		t.Errorf("%s: %+v %v", want, found, err)
	}
}

func TestReplicasWithoutAQuorumAreNamed(t *testing.T) {
	t.Parallel()
	cfg := kafkabus.Config{Brokers: fakeKafka(t, kfake.NumBrokers(3)), Partitions: 3, Replication: 3, Logger: testLog(t)}
	client := kadm.NewClient(foreign(t, cfg))
	for value, want := range map[string]string{"1": "one disk alone", "2": "", "3": "while one broker is away"} {
		name := "test." + uuid.NewString()
		week, largest, policy := "604800000", "4194304", "delete"
		made, err := client.CreateTopic(within(t), 3, 3, map[string]*string{
			"min.insync.replicas": &value, "retention.ms": &week, "max.message.bytes": &largest, "cleanup.policy": &policy,
		}, name)
		if err != nil || made.Err != nil {
			t.Fatalf("make a topic: %v %v", err, made.Err)
		}
		found, err := admin(t, cfg).Examine(within(t), kafkabus.Topic{Name: name, Retention: 7 * 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if len(found) != 0 {
				t.Errorf("min.insync.replicas=2 of three: %+v", found)
			}
			continue
		}
		if len(found) != 1 || found[0].Setting != "min.insync.replicas" || !strings.Contains(found[0].Detail, want) {
			t.Errorf("min.insync.replicas=%s of three: %+v", value, found)
		}
	}
}

func TestABrokerThatLetsNobodyLookIsNoReasonToWait(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := kafkabus.Config{Brokers: cluster.ListenAddrs(), Partitions: 3, Logger: testLog(t)}
	one, two := topic(t, cfg), topic(t, cfg)
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked, ok := request.(*kmsg.DescribeConfigsRequest)
		if !ok || asked.Resources[0].ResourceType != kmsg.ConfigResourceTypeTopic {
			return nil, nil, false
		}
		answer := kmsg.NewPtrDescribeConfigsResponse()
		answer.Version = asked.Version
		for _, r := range asked.Resources {
			refused := kmsg.NewDescribeConfigsResponseResource()
			refused.ResourceType, refused.ResourceName, refused.ErrorCode = r.ResourceType, r.ResourceName, kerr.TopicAuthorizationFailed.Code
			answer.Resources = append(answer.Resources, refused)
		}
		return answer, nil, true
	})
	found, err := admin(t, cfg).Examine(within(t), kafkabus.Topic{Name: one}, kafkabus.Topic{Name: two})
	if err != nil || len(found) != 1 || !found[0].Unknown || !strings.Contains(found[0].Detail, one) || !strings.Contains(found[0].Detail, two) {
		t.Errorf("%+v %v", found, err)
	}
}
