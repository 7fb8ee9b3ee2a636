package kafkabus

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"github.com/IBM/sarama"

	"millrace/domain/fault"
)

// rebalanceTimeout is how long a member may hold on to its work when the group changes. What a
// consumer does with one message, retries of the bounded kind included, must end within it.
const rebalanceTimeout = 60 * time.Second

// saramaConfig replaces every default of sarama under which messages are lost, stalled or spread
// without order, each with its reason.
func (c Config) saramaConfig() (*sarama.Config, error) {
	s := sarama.NewConfig()
	s.ClientID = c.ClientID
	s.Version = sarama.V3_6_0_0 // spoken by Kafka 3.6 to 4.x and by kfake

	// A connection to a machine that is gone must not hold a caller for half a minute.
	s.Net.DialTimeout = 5 * time.Second
	s.Metadata.Retry.Max = 5
	s.Metadata.Retry.Backoff = 200 * time.Millisecond
	s.Metadata.Timeout = 10 * time.Second
	s.Metadata.RefreshFrequency = time.Minute
	s.Metadata.AllowAutoTopicCreation = false // the broker's defaults are not our partitions
	s.Admin.Timeout = 15 * time.Second

	// The default, acks from the leader alone, loses messages when the leader dies.
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Idempotent = true // a retry neither doubles nor reorders
	s.Net.MaxOpenRequests = 1    // sarama's condition for it
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
	s.Producer.Retry.Max = 10
	s.Producer.Retry.Backoff = 200 * time.Millisecond
	s.Producer.MaxMessageBytes = MaxRecordBytes
	// The Java client's hash, so that whoever else writes with the same key meets our partition.
	s.Producer.Partitioner = sarama.NewMurmur2Partitioner

	// The default, newest, skips what was written before a group's first commit.
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Offsets.AutoCommit.Interval = time.Second
	// After the default of 100 ms with one message in hand sarama gives the partition's stream up
	// and starts it again.
	s.Consumer.MaxProcessingTime = rebalanceTimeout
	s.Consumer.MaxWaitTime = 100 * time.Millisecond
	s.Consumer.Return.Errors = true
	s.Consumer.Retry.Backoff = 250 * time.Millisecond
	s.Consumer.Fetch.Default = 1 << 20
	s.Consumer.Fetch.Max = 0 // no limit: with one, sarama skips a record that is larger
	s.Consumer.Group.Rebalance.Timeout = rebalanceTimeout
	s.Consumer.Group.Rebalance.Retry.Max = 10
	s.Consumer.Group.Rebalance.Retry.Backoff = 500 * time.Millisecond
	// Sticky: a member that comes or goes moves as few partitions as possible.
	s.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}

	if err := c.Security.apply(s); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, fault.Wrap(fault.Invalid, "invalid_setting", err)
	}
	return s, nil
}

// batched lets a producer wait for the whole of a batch. By default sarama sends the first record of it alone and
// the others as they come: five requests instead of one, and an answer for each to everybody who waits for records.
// A record by itself would wait as well.
func batched(s sarama.Config) *sarama.Config {
	s.Producer.Flush.Frequency = time.Millisecond
	return &s
}

// consumerConfig is for a member of a consumer group. Whoever joins one waits for an answer until its
// slowest member has let go: with the default of 30 s it would hang up before that, and begin the
// rebalance again.
func (c Config) consumerConfig() (*sarama.Config, error) {
	s, err := c.saramaConfig()
	if err != nil {
		return nil, err
	}
	s.Net.ReadTimeout = rebalanceTimeout + 5*time.Second
	return s, nil
}

func (s Security) apply(cfg *sarama.Config) error {
	if s.tls() {
		cfg.Net.TLS.Enable = true
		cfg.Net.TLS.Config = &tls.Config{MinVersion: tls.VersionTLS12}
		if s.CAFile != "" {
			pem, err := os.ReadFile(s.CAFile)
			if err != nil {
				return fault.Wrap(fault.Invalid, "invalid_setting", err)
			}
			authorities := x509.NewCertPool()
			if !authorities.AppendCertsFromPEM(pem) {
				return fault.Invalidf("invalid_setting", "/KAFKA_TLS_CA_FILE", "KAFKA_TLS_CA_FILE has no certificate in PEM: %s", s.CAFile)
			}
			cfg.Net.TLS.Config.RootCAs = authorities
		}
	}
	if s.sasl() {
		cfg.Net.SASL.Enable = true
		cfg.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
		cfg.Net.SASL.User = s.User
		cfg.Net.SASL.Password = s.Password
		if s.Mechanism != sarama.SASLTypePlaintext {
			cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{mechanism: s.Mechanism} }
		}
	}
	return nil
}
