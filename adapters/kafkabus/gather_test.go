package kafkabus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
)

// slowProducer takes its time for every request, and refuses what refuse says.
type slowProducer struct {
	sarama.SyncProducer
	takes  func(topic string) time.Duration
	refuse func(batch []*sarama.ProducerMessage) error // about all of them

	mu       sync.Mutex
	requests [][]*sarama.ProducerMessage
	closed   bool
}

func (p *slowProducer) SendMessages(msgs []*sarama.ProducerMessage) error {
	if p.takes != nil {
		time.Sleep(p.takes(msgs[0].Topic))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("sent after the end")
	}
	p.requests = append(p.requests, slices.Clone(msgs))
	for i, msg := range msgs {
		msg.Offset = int64(len(p.requests)*10_000 + i)
	}
	if p.refuse != nil {
		return p.refuse(msgs)
	}
	return nil
}

func (p *slowProducer) SendMessage(msg *sarama.ProducerMessage) (int32, int64, error) {
	err := p.SendMessages([]*sarama.ProducerMessage{msg})
	var each sarama.ProducerErrors
	if errors.As(err, &each) {
		return -1, -1, each[0].Err
	}
	return msg.Partition, msg.Offset, err
}

func (p *slowProducer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func (p *slowProducer) sizes() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sizes []int
	for _, r := range p.requests {
		sizes = append(sizes, len(r))
	}
	return sizes
}

func tenMilliseconds(string) time.Duration { return 10 * time.Millisecond }

func produced(topic, value string) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}
}

func refusals(msgs []*sarama.ProducerMessage, err error) sarama.ProducerErrors {
	var all sarama.ProducerErrors
	for _, msg := range msgs {
		all = append(all, &sarama.ProducerError{Msg: msg, Err: err})
	}
	return all
}

// sendAll sends all at once and gives their fates by value.
func sendAll(g *gatherer, msgs ...*sarama.ProducerMessage) map[string]error {
	var (
		mu    sync.Mutex
		all   sync.WaitGroup
		fates = map[string]error{}
	)
	for _, msg := range msgs {
		all.Go(func() {
			_, _, err := g.SendMessage(msg)
			mu.Lock()
			defer mu.Unlock()
			fates[fmt.Sprint(msg.Value)] = err
		})
	}
	all.Wait()
	return fates
}

func several(topic string, n int) []*sarama.ProducerMessage {
	msgs := make([]*sarama.ProducerMessage, n)
	for i := range msgs {
		msgs[i] = produced(topic, fmt.Sprint(i))
	}
	return msgs
}

func TestWhatComesWhileOneRequestRunsGoesTogetherWithTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &slowProducer{takes: tenMilliseconds}
		g := newGatherer(p, p)
		begin := time.Now()
		var all sync.WaitGroup
		all.Go(func() { _, _, _ = g.SendMessage(produced("t", "first")) })
		synctest.Wait() // it is under way, although it is alone
		sendAll(g, several("t", 255)...)
		all.Wait()
		if sizes := p.sizes(); !slices.Equal(sizes, []int{1, 255}) {
			t.Errorf("256 messages went as requests of %v", sizes)
		}
		if took := time.Since(begin); took != 20*time.Millisecond {
			t.Errorf("two requests took %s", took)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The producer for batches waits for the whole of one.
func TestAMessageByItselfGoesByTheProducerThatWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		single, batches := &slowProducer{takes: tenMilliseconds}, &slowProducer{takes: tenMilliseconds}
		g := newGatherer(single, batches)
		var all sync.WaitGroup
		all.Go(func() { _, _, _ = g.SendMessage(produced("t", "first")) })
		synctest.Wait()
		sendAll(g, several("t", 5)...)
		all.Wait()
		sendAll(g, produced("t", "last"))
		if alone, together := single.sizes(), batches.sizes(); !slices.Equal(alone, []int{1, 1}) || !slices.Equal(together, []int{5}) {
			t.Errorf("one by one went %v, together %v", alone, together)
		}
		if err := g.Close(); err != nil || !single.closed || !batches.closed {
			t.Errorf("closed: %v and %v, %v", single.closed, batches.closed, err)
		}
	})
}

func TestARequestIsBoundedInNumberAndSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &slowProducer{takes: tenMilliseconds}
		g := newGatherer(p, p)
		sendAll(g, several("many", 3*gatherCount)...)
		for _, size := range p.sizes() {
			if size > gatherCount {
				t.Errorf("a request has %d messages", size)
			}
		}
		p.requests = nil
		var large []*sarama.ProducerMessage
		for range 10 {
			msg := produced("large", "")
			msg.Value = sarama.ByteEncoder(make([]byte, 4<<20-100))
			large = append(large, msg)
		}
		large = append(large, &sarama.ProducerMessage{Topic: "large", Value: sarama.ByteEncoder(make([]byte, 2*gatherBytes))})
		for _, msg := range large { // by themselves, because their values are not to be printed
			g.busy.Go(func() { _, _, _ = g.SendMessage(msg) })
		}
		g.busy.Wait()
		sent := 0
		for _, r := range p.requests {
			bytes := 0
			for _, msg := range r {
				bytes += msg.ByteSize(2)
			}
			if bytes > gatherBytes && len(r) > 1 {
				t.Errorf("a request of %d messages has %d bytes", len(r), bytes)
			}
			sent += len(r)
		}
		if sent != len(large) {
			t.Errorf("%d of %d large messages were sent", sent, len(large))
		}
	})
}

func TestEveryCallerHearsItsOwnFate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("the leader of its partition is away")
		p := &slowProducer{takes: tenMilliseconds, refuse: func(batch []*sarama.ProducerMessage) error {
			var failed sarama.ProducerErrors
			for _, msg := range batch {
				if fmt.Sprint(msg.Value) == "7" {
					failed = append(failed, refusals([]*sarama.ProducerMessage{msg}, away)...)
				}
			}
			if failed == nil {
				return nil
			}
			return failed
		}}
		for value, err := range sendAll(newGatherer(p, p), several("t", 50)...) {
			if failed := errors.Is(err, away); failed != (value == "7") {
				t.Errorf("%s: %v", value, err)
			}
		}
		broken := errors.New("about no message in particular")
		p.refuse = func([]*sarama.ProducerMessage) error { return broken }
		for value, err := range sendAll(newGatherer(p, p), several("t", 5)...) {
			if !errors.Is(err, broken) {
				t.Errorf("%s: %v", value, err)
			}
		}
	})
}

// Kafka refuses a partition's records as one: here whatever goes together with the bad one.
func TestOneThatIsRefusedForGoodDoesNotTakeItsNeighboursAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &slowProducer{takes: tenMilliseconds, refuse: func(batch []*sarama.ProducerMessage) error {
			for _, msg := range batch {
				if fmt.Sprint(msg.Value) == "7" {
					return refusals(batch, sarama.ErrMessageSizeTooLarge)
				}
			}
			return nil
		}}
		for value, err := range sendAll(newGatherer(p, p), several("t", 50)...) {
			if failed := errors.Is(err, sarama.ErrMessageSizeTooLarge); failed != (value == "7") || (err != nil) != failed {
				t.Errorf("%s: %v", value, err)
			}
		}
	})
}

func TestATopicThatIsSlowHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &slowProducer{takes: func(topic string) time.Duration {
			if topic == "missing" {
				return time.Minute
			}
			return 10 * time.Millisecond
		}}
		g := newGatherer(p, p)
		begin := time.Now()
		var slow sync.WaitGroup
		slow.Go(func() { sendAll(g, several("missing", 5)...) })
		synctest.Wait()
		sendAll(g, several("there", 5)...)
		if took := time.Since(begin); took > 20*time.Millisecond {
			t.Errorf("messages for another topic took %s", took)
		}
		slow.Wait()
	})
}

func TestAProducerThatPanicsLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		p := &slowProducer{takes: tenMilliseconds, refuse: func([]*sarama.ProducerMessage) error {
			if broken {
				panic("out of cheese")
			}
			return nil
		}}
		g := newGatherer(p, p)
		for value, err := range sendAll(g, several("t", 9)...) {
			if err == nil {
				t.Errorf("%s was sent by a producer that panicked", value)
			}
		}
		broken = false
		if err := sendAll(g, produced("t", "next"))["next"]; err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

func TestClosingSendsWhatWaitsAndRefusesWhatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &slowProducer{takes: tenMilliseconds}
		g := newGatherer(p, p)
		var all sync.WaitGroup
		all.Go(func() {
			for value, err := range sendAll(g, several("t", 20)...) {
				if err != nil {
					t.Errorf("%s: %v", value, err)
				}
			}
		})
		synctest.Wait()
		for range 2 {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		if _, _, err := g.SendMessage(produced("t", "late")); err == nil {
			t.Error("a closed producer took a message")
		}
	})
}

func TestOneWhoWaitsForEachAnswerKeepsItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		p := &slowProducer{
			takes: func(string) time.Duration { return rand.N(10 * time.Millisecond) },
			refuse: func(batch []*sarama.ProducerMessage) error {
				if failed := refusals(batch[:rand.N(len(batch)+1)], away); failed != nil {
					return failed
				}
				return nil
			},
		}
		g := newGatherer(p, p)
		var all sync.WaitGroup
		for order := range 20 {
			all.Go(func() {
				for n := range 30 {
					msg := produced("t", fmt.Sprintf("%d/%d", order, n))
					for {
						if _, _, err := g.SendMessage(msg); err == nil {
							break
						}
					}
				}
			})
		}
		all.Wait()
		next := map[int]int{}
		for _, r := range p.requests {
			for _, msg := range r {
				var order, n int
				if _, err := fmt.Sscanf(fmt.Sprint(msg.Value), "%d/%d", &order, &n); err != nil {
					t.Fatal(err)
				}
				if n != next[order] && n != next[order]-1 { // the next one, or the last one again
					t.Fatalf("order %d: %d came after %d", order, n, next[order]-1)
				}
				next[order] = n + 1
			}
		}
		for order := range 20 {
			if next[order] != 30 {
				t.Errorf("order %d: %d of 30 were sent", order, next[order])
			}
		}
	})
}
