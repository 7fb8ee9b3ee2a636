// Package kafkabus carries messages over Kafka, by watermill-kafka and sarama, with the settings
// under which neither loses anything: acks from all replicas, an idempotent producer, offsets from
// the oldest, the order's id as key.
//
// A topic is read by a [Windowed], which has many messages of a partition in hand, or by a
// [Subscriber], which has one; a [Publisher] writes. Both ways keep the order of each key.
//
// It moves bytes and headers and knows places (topic, partition, offset). What a message means,
// when it is tried again and when it is given up is decided elsewhere and must not be in here.
package kafkabus

import (
	"log/slog"
	"os"
	"slices"
	"time"

	"millrace/domain/fault"
)

// MaxRecordBytes is the largest record that topics, producers and consumers let pass.
const MaxRecordBytes = 4 << 20

// Config is how to reach Kafka and how topics are made. Validate fills in what is left empty.
type Config struct {
	Brokers     []string
	ClientID    string        // shown in the broker's logs; default "millrace"
	Partitions  int32         // of topics that EnsureTopics makes; default 12
	Replication int16         // of topics that EnsureTopics makes; default 1
	Retention   time.Duration // of topics that EnsureTopics makes; default 7 days
	Security    Security
	Logger      *slog.Logger
	// Session is told of every session of a consumer group that begins here: of the first, and of one
	// for each rebalance. It must not block.
	Session func(group string)
	// Unwanted says of a record's value that nobody here wants it. A Windowed counts such a record as
	// acknowledged without handing it out; nil for none. It is called once a delivery, by many goroutines.
	Unwanted func(value []byte) bool
}

// Security says how connections are protected and who we are. The zero value is PLAINTEXT.
type Security struct {
	Protocol  string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, where the protocol has SASL
	User      string
	Password  string
	CAFile    string // PEM; empty for the system's authorities
}

func (s Security) sasl() bool { return s.Protocol == "SASL_PLAINTEXT" || s.Protocol == "SASL_SSL" }
func (s Security) tls() bool  { return s.Protocol == "SSL" || s.Protocol == "SASL_SSL" }

// Validate says what is wrong with the configuration. It fails with fault.Invalid, code
// invalid_setting, and a pointer that names the setting.
func (c Config) Validate() error {
	s := c.withDefaults()
	refuse := func(setting, format string, args ...any) error {
		return fault.Invalidf("invalid_setting", "/"+setting, setting+" "+format, args...)
	}
	protocols := []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
	mechanisms := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	switch {
	case len(s.Brokers) == 0 || slices.Contains(s.Brokers, ""):
		return refuse("KAFKA_BROKERS", "must list host:port, separated by commas")
	case s.Partitions < 1:
		return refuse("KAFKA_PARTITIONS", "must be at least 1, not %d", s.Partitions)
	case s.Replication < 1:
		return refuse("KAFKA_REPLICATION", "must be at least 1, not %d", s.Replication)
	case s.Retention < time.Minute:
		return refuse("KAFKA_RETENTION", "must be at least a minute, not %s", s.Retention)
	case !slices.Contains(protocols, s.Security.Protocol):
		return refuse("KAFKA_SECURITY_PROTOCOL", "must be one of %v, not %q", protocols, s.Security.Protocol)
	case s.Security.sasl() && !slices.Contains(mechanisms, s.Security.Mechanism):
		return refuse("KAFKA_SASL_MECHANISM", "must be one of %v, not %q", mechanisms, s.Security.Mechanism)
	case s.Security.sasl() && s.Security.User == "":
		return refuse("KAFKA_SASL_USERNAME", "must be set for %s", s.Security.Protocol)
	case s.Security.sasl() && s.Security.Password == "":
		return refuse("KAFKA_SASL_PASSWORD", "must be set for %s", s.Security.Protocol)
	case s.Security.CAFile != "" && !s.Security.tls():
		return refuse("KAFKA_TLS_CA_FILE", "has no use with KAFKA_SECURITY_PROTOCOL=%s", s.Security.Protocol)
	}
	if s.Security.CAFile != "" {
		if _, err := os.ReadFile(s.Security.CAFile); err != nil {
			return refuse("KAFKA_TLS_CA_FILE", "cannot be read: %v", err)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "millrace"
	}
	if c.Partitions == 0 {
		c.Partitions = 12
	}
	if c.Replication == 0 {
		c.Replication = 1
	}
	if c.Retention == 0 {
		c.Retention = 7 * 24 * time.Hour
	}
	if c.Security.Protocol == "" {
		c.Security.Protocol = "PLAINTEXT"
	}
	if c.Security.sasl() && c.Security.Mechanism == "" {
		c.Security.Mechanism = "PLAIN"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Session == nil {
		c.Session = func(string) {}
	}
	if c.Unwanted == nil {
		c.Unwanted = func([]byte) bool { return false }
	}
	return c
}
