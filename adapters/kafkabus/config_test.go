package kafkabus

import (
	"testing"
	"time"

	"github.com/IBM/sarama"

	"millrace/domain/fault"
)

func TestSaramaRunsOnSafeSettings(t *testing.T) {
	t.Parallel()
	s, err := Config{Brokers: []string{"127.0.0.1:9092"}}.withDefaults().saramaConfig()
	if err != nil {
		t.Fatal(err)
	}
	for promise, kept := range map[string]bool{
		"a record is acknowledged by all replicas":              s.Producer.RequiredAcks == sarama.WaitForAll,
		"a retry does not write twice":                          s.Producer.Idempotent && s.Net.MaxOpenRequests == 1,
		"a new group starts at the oldest message":              s.Consumer.Offsets.Initial == sarama.OffsetOldest,
		"a message may be in hand for a minute":                 s.Consumer.MaxProcessingTime == time.Minute,
		"an answer is not held back longer than 100 ms":         s.Consumer.MaxWaitTime == 100*time.Millisecond,
		"no record is too large to be read":                     s.Consumer.Fetch.Max == 0,
		"4 MiB can be written":                                  s.Producer.MaxMessageBytes == 4<<20,
		"the broker makes no topic behind our back":             !s.Metadata.AllowAutoTopicCreation,
		"a member that comes or goes moves few partitions":      s.Consumer.Group.Rebalance.GroupStrategies[0].Name() == sarama.StickyBalanceStrategyName,
		"the protocol's version is said, and not an old one":    s.Version.IsAtLeast(sarama.V3_0_0_0),
		"acknowledged offsets are committed within two seconds": s.Consumer.Offsets.AutoCommit.Enable && s.Consumer.Offsets.AutoCommit.Interval <= 2*time.Second,
	} {
		if !kept {
			t.Errorf("broken: %s", promise)
		}
	}
}

func TestDefaultsGiveEveryTopicRoomForTwelveConsumers(t *testing.T) {
	t.Parallel()
	cfg := Config{Brokers: []string{"b:1"}}.withDefaults()
	if cfg.Partitions != 12 || cfg.Replication != 1 || cfg.Retention != 7*24*time.Hour {
		t.Errorf("defaults are %+v", cfg)
	}
}

func TestAWrongSettingIsNamed(t *testing.T) {
	t.Parallel()
	good := func() Config { return Config{Brokers: []string{"b:1"}} }
	for setting, spoil := range map[string]func(*Config){
		"KAFKA_BROKERS":           func(c *Config) { c.Brokers = nil },
		"KAFKA_PARTITIONS":        func(c *Config) { c.Partitions = -1 },
		"KAFKA_REPLICATION":       func(c *Config) { c.Replication = -1 },
		"KAFKA_RETENTION":         func(c *Config) { c.Retention = time.Second },
		"KAFKA_SECURITY_PROTOCOL": func(c *Config) { c.Security.Protocol = "TLS" },
		"KAFKA_SASL_MECHANISM": func(c *Config) {
			c.Security = Security{Protocol: "SASL_SSL", Mechanism: "GSSAPI", User: "u", Password: "p"}
		},
		"KAFKA_SASL_USERNAME": func(c *Config) { c.Security = Security{Protocol: "SASL_PLAINTEXT", Password: "p"} },
		"KAFKA_SASL_PASSWORD": func(c *Config) { c.Security = Security{Protocol: "SASL_PLAINTEXT", User: "u"} },
		"KAFKA_TLS_CA_FILE":   func(c *Config) { c.Security = Security{Protocol: "SSL", CAFile: "/no/such/file"} },
	} {
		cfg := good()
		if err := cfg.Validate(); err != nil {
			t.Fatalf("a good configuration was refused: %v", err)
		}
		spoil(&cfg)
		f, ok := fault.Find(cfg.Validate())
		if !ok || f.Kind != fault.Invalid || f.Pointer != "/"+setting {
			t.Errorf("%s: %v", setting, f)
		}
	}
}
