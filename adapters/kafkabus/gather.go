package kafkabus

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

const (
	gatherCount = 1024     // messages sent together at most
	gatherBytes = 16 << 20 // and their size; Kafka takes requests of 100 MiB, which sarama keeps to
)

// gatherer is a producer whose concurrent SendMessage calls become few SendMessages: everything
// that has come while the last one ran. When nothing runs, nothing waits, and a message by itself goes by a
// producer that does not wait for others.
//
// It gathers by topic, so that a topic which is missing holds up no other. Each caller is given the
// fate of its own message, and one that calls again when it has its answer keeps its order.
//
// It comes in as watermill-kafka's tracer, the one place where the producer can be seen.
type gatherer struct {
	sarama.SyncProducer                     // of a message by itself
	batches             sarama.SyncProducer // of several

	mu     sync.Mutex
	closed bool
	topics map[string]*gathering
	busy   sync.WaitGroup
}

// gathering is what waits for one topic. It is there while something is being sent.
type gathering struct{ waiting []*sending }

// sending is one caller's message. Its fate is written before done is closed.
type sending struct {
	msg  *sarama.ProducerMessage
	err  error
	done chan struct{}
}

func newGatherer(single, batches sarama.SyncProducer) *gatherer {
	return &gatherer{SyncProducer: single, batches: batches, topics: map[string]*gathering{}}
}

// SendMessage sends msg with whatever others send to its topic, and returns when its own fate is
// known.
func (g *gatherer) SendMessage(msg *sarama.ProducerMessage) (partition int32, offset int64, err error) {
	s := &sending{msg: msg, done: make(chan struct{})}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return -1, -1, sarama.ErrClosedClient
	}
	t := g.topics[msg.Topic]
	if t == nil {
		t = &gathering{}
		g.topics[msg.Topic] = t
		g.busy.Go(func() { g.run(msg.Topic, t) })
	}
	t.waiting = append(t.waiting, s)
	g.mu.Unlock()

	<-s.done
	if s.err != nil {
		return -1, -1, s.err
	}
	return msg.Partition, msg.Offset, nil
}

// Close waits for what is being sent, and closes both producers. What comes after it is refused.
func (g *gatherer) Close() error {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	g.busy.Wait()
	if !first {
		return nil
	}
	return errors.Join(g.SyncProducer.Close(), g.batches.Close())
}

// run sends what waits for a topic until nothing does.
func (g *gatherer) run(topic string, t *gathering) {
	for {
		runtime.Gosched() // whoever is about to send goes along
		g.mu.Lock()
		n := together(t.waiting)
		if n == 0 {
			delete(g.topics, topic)
			g.mu.Unlock()
			return
		}
		batch := t.waiting[:n:n]
		t.waiting = t.waiting[n:]
		g.mu.Unlock()
		g.send(batch)
	}
}

// together is how many of those that wait are sent at once: at least one, if there is one.
func together(waiting []*sending) int {
	bytes := 0
	for n, s := range waiting {
		bytes += s.msg.ByteSize(2)
		if n > 0 && (n == gatherCount || bytes > gatherBytes) {
			return n
		}
	}
	return len(waiting)
}

// send sends a batch and tells everyone, whatever happens.
//
// Kafka answers for all records of a partition together. So one that it refuses for good may have
// been refused for a neighbour's sake: it is sent again alone, and only then is the answer its own.
func (g *gatherer) send(batch []*sending) {
	defer func() {
		if p := recover(); p != nil {
			for _, s := range batch {
				s.tell(fmt.Errorf("the producer panicked: %v", p))
			}
		}
	}()
	alone := batch
	if len(batch) > 1 {
		alone = g.sendTogether(batch)
	}
	for _, s := range alone {
		_, _, err := g.SyncProducer.SendMessage(s.msg)
		s.tell(err)
	}
}

// sendTogether sends several in one request, and gives those that have to go alone.
func (g *gatherer) sendTogether(batch []*sending) (alone []*sending) {
	msgs := make([]*sarama.ProducerMessage, len(batch))
	for i, s := range batch {
		msgs[i] = s.msg
	}
	failed := fates(g.batches.SendMessages(msgs), msgs)
	for _, s := range batch {
		if err := failed[s.msg]; refusedTogether(err) {
			alone = append(alone, s)
		} else {
			s.tell(err)
		}
	}
	return alone
}

// tell gives the caller its answer, once.
func (s *sending) tell(err error) {
	select {
	case <-s.done:
	default:
		s.err = err
		close(s.done)
	}
}

// fates says which message failed and why. An error that names no message is about all of them.
func fates(err error, all []*sarama.ProducerMessage) map[*sarama.ProducerMessage]error {
	if err == nil {
		return nil
	}
	failed := make(map[*sarama.ProducerMessage]error)
	var each sarama.ProducerErrors
	if errors.As(err, &each) {
		for _, e := range each {
			failed[e.Msg] = e.Err
		}
		return failed
	}
	for _, msg := range all {
		failed[msg] = err
	}
	return failed
}

// refusedTogether says whether err is Kafka's no for good to a set of records. Sarama's own check
// is about one.
func refusedTogether(err error) bool {
	var own sarama.ConfigurationError
	return err != nil && IsPermanent(err) && !errors.As(err, &own)
}

// gathers puts a gatherer in front of watermill-kafka's producer, with another one for batches.
type gathers struct{ batches sarama.SyncProducer }

var _ kafka.SaramaTracer = gathers{}

// WrapSyncProducer makes p gather.
func (g gathers) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return newGatherer(p, g.batches)
}

// WrapConsumer changes nothing.
func (gathers) WrapConsumer(c sarama.Consumer) sarama.Consumer { return c }

// WrapPartitionConsumer changes nothing.
func (gathers) WrapPartitionConsumer(c sarama.PartitionConsumer) sarama.PartitionConsumer { return c }

// WrapConsumerGroupHandler changes nothing.
func (gathers) WrapConsumerGroupHandler(h sarama.ConsumerGroupHandler) sarama.ConsumerGroupHandler {
	return h
}
