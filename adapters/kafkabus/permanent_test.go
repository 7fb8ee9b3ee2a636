package kafkabus

import (
	"fmt"
	"testing"

	"github.com/IBM/sarama"
)

// What is permanent is given up. A clock that is wrong, here or at the broker, says nothing about the message: the
// record has the time at which it is sent.
func TestOnlyWhatKafkaWouldNeverTakeIsPermanent(t *testing.T) {
	t.Parallel()
	for err, permanent := range map[error]bool{
		sarama.ErrMessageSizeTooLarge:                    true,
		sarama.ErrInvalidTopic:                           true,
		sarama.ErrInvalidRecord:                          true,
		sarama.ConfigurationError("larger than allowed"): true,
		sarama.ErrInvalidTimestamp:                       false,
		sarama.ErrUnknownTopicOrPartition:                false,
		sarama.ErrTopicAuthorizationFailed:               false,
		sarama.ErrNotEnoughReplicas:                      false,
		sarama.ErrOutOfBrokers:                           false,
	} {
		if got := IsPermanent(fmt.Errorf("publish: %w", err)); got != permanent {
			t.Errorf("%v: permanent %t, want %t", err, got, permanent)
		}
	}
}
