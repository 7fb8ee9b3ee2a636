package kafkabus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/singleflight"

	"millrace/domain/fault"
)

// ErrClosed is given by a publisher or subscriber that was closed.
var ErrClosed = fault.New(fault.Unavailable, "bus_closed", "the connection to Kafka was closed")

// Publisher writes to Kafka and returns when every in-sync replica has the record. It may be used
// by many goroutines at once: what they send to a topic while an earlier request is under way goes
// together with the next (gatherer).
type Publisher struct {
	cfg Config

	using   sync.RWMutex // held for reading while publishing, so that Close waits for it
	closed  bool
	inner   atomic.Pointer[producer]
	connect singleflight.Group
	retired sync.WaitGroup // producers that are being closed
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher checks the settings and fails with fault.Invalid. It does not need Kafka: the
// connection is made by the first Publish, and made again after an outage.
func NewPublisher(cfg Config) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if _, err := cfg.saramaConfig(); err != nil {
		return nil, err
	}
	return &Publisher{cfg: cfg}, nil
}

// Publish sends the messages in their order, one after the other. When it fails, those before the
// failed one are in Kafka. It fails with fault.Invalid when Kafka will never take the message
// (see IsPermanent) and with fault.Unavailable when it may later.
func (p *Publisher) Publish(topic string, msgs ...*message.Message) error {
	p.using.RLock()
	defer p.using.RUnlock()
	if p.closed {
		return ErrClosed
	}
	inner, err := p.borrow()
	if err != nil {
		return fault.Wrap(fault.Unavailable, "kafka_unavailable", fmt.Errorf("connect to Kafka: %w", err))
	}
	err = inner.kafka.Publish(topic, msgs...)
	inner.using.RUnlock()
	if err != nil {
		if IsPermanent(err) {
			return fault.Wrap(fault.Invalid, "kafka_refused", fmt.Errorf("publish on %s: %w", topic, err))
		}
		p.retire(inner)
		return fault.Wrap(fault.Unavailable, "kafka_unavailable", fmt.Errorf("publish on %s: %w", topic, err))
	}
	return nil
}

// connected gives the producer. Callers that find none share one attempt to connect and its fate.
func (p *Publisher) connected() (*producer, error) {
	if inner := p.inner.Load(); inner != nil {
		return inner, nil
	}
	made, err, _ := p.connect.Do("", func() (any, error) {
		if inner := p.inner.Load(); inner != nil {
			return inner, nil
		}
		inner, err := newProducer(p.cfg)
		if err != nil {
			return nil, err
		}
		p.inner.Store(inner)
		return inner, nil
	})
	if err != nil {
		return nil, err
	}
	inner, _ := made.(*producer) // it can be nothing else
	return inner, nil
}

// borrow gives a producer that is still good, held for reading.
func (p *Publisher) borrow() (*producer, error) {
	for {
		inner, err := p.connected()
		if err != nil {
			return nil, err
		}
		inner.using.RLock()
		if !inner.closed && !inner.lost() {
			return inner, nil
		}
		inner.using.RUnlock()
		p.retire(inner)
	}
}

// retire lets nobody else have a producer, and closes it when those who have it are done.
func (p *Publisher) retire(old *producer) {
	if !p.inner.CompareAndSwap(old, nil) {
		return
	}
	p.retired.Go(func() { _ = old.close() }) // what it had in hand has been answered
}

// Close waits for what is being published and closes the connection.
func (p *Publisher) Close() error {
	p.using.Lock()
	defer p.using.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	defer p.retired.Wait()
	if inner := p.inner.Load(); inner != nil {
		return inner.close()
	}
	return nil
}

// IsPermanent says whether Kafka will never take the message that err was given for: it is larger
// than MaxRecordBytes, or names a topic that cannot exist. A topic that is merely missing can be
// made, a permission that is missing can be granted, and a clock that is wrong can be set: none of them is permanent.
func IsPermanent(err error) bool {
	var tooLarge sarama.ConfigurationError // sarama's own check, before anything is sent
	return errors.As(err, &tooLarge) ||
		errors.Is(err, sarama.ErrMessageSizeTooLarge) ||
		errors.Is(err, sarama.ErrInvalidTopic) ||
		errors.Is(err, sarama.ErrInvalidRecord)
}
