package kafkabus

import (
	"context"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// scramClient is one exchange of RFC 5802. Sarama asks for an implementation and has none of its
// own; franz-go's is complete.
type scramClient struct {
	mechanism string
	session   sasl.Session
	first     []byte // the client's first message, which sarama takes in its first Step
	done      bool
}

var _ sarama.SCRAMClient = (*scramClient)(nil)

// Begin starts the exchange for a user.
func (c *scramClient) Begin(user, password, authzID string) error {
	auth := scram.Auth{Zid: authzID, User: user, Pass: password}
	mechanism := auth.AsSha256Mechanism()
	if c.mechanism == sarama.SASLTypeSCRAMSHA512 {
		mechanism = auth.AsSha512Mechanism()
	}
	var err error
	c.session, c.first, err = mechanism.Authenticate(context.Background(), "")
	return err
}

// Step answers what the server said; the first challenge is empty.
func (c *scramClient) Step(challenge string) (string, error) {
	if c.first != nil {
		first := string(c.first)
		c.first = nil
		return first, nil
	}
	done, response, err := c.session.Challenge([]byte(challenge))
	c.done = done
	return string(response), err
}

// Done says whether the server has proved itself as well.
func (c *scramClient) Done() bool { return c.done }
