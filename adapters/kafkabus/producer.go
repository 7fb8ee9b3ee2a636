package kafkabus

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

// producer is an idempotent producer, with the id that Kafka gave it, and one beside it for batches. Neither outlives
// a connection of either: a broker that was lost with its disk counts producer ids from zero again, and gives
// ours to somebody else. What two producers then send with one id and one sequence number, the
// broker takes for a repetition: it says yes, and keeps one of them. So a producer that lost a
// connection is given up, and the next one asks for an id of its own.
type producer struct {
	kafka           *kafka.Publisher
	single, several *connTracker // of the one for a message by itself, and of the one for batches

	using  sync.RWMutex // held for reading while publishing
	closed bool
}

func newProducer(cfg Config) (*producer, error) {
	single, err := cfg.saramaConfig()
	if err != nil {
		return nil, err
	}
	several := batched(*single)
	p := &producer{single: newConnTracker(single), several: newConnTracker(several)}
	batches, err := sarama.NewSyncProducer(cfg.Brokers, several)
	if err != nil {
		return nil, err
	}
	p.several.arm()
	p.kafka, err = kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: cfg.Brokers, Marshaler: marshaler{}, OverwriteSaramaConfig: single, Tracer: gathers{batches},
	}, nil) // its log would be two traces a message, which no level shows
	if err != nil {
		_ = batches.Close()
		return nil, err
	}
	p.single.arm()
	return p, nil
}

// lost says that it is to be given up.
func (p *producer) lost() bool { return p.single.broken.Load() || p.several.broken.Load() }

// close waits for what is being published.
func (p *producer) close() error {
	p.using.Lock()
	defer p.using.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.kafka.Close()
}

// connTracker dials for one client and counts its connections. Once it has lost one it does not dial again: what the
// client then tries by itself could reach another broker than the one that gave it its id.
//
// Until it is armed it may lose what it likes: a client that looks for a broker tries one address after
// another, and has no id yet.
type connTracker struct {
	dialer net.Dialer
	broken atomic.Bool

	mu    sync.Mutex
	armed bool
	open  int // connections
}

var errConnLost = errors.New("a connection was lost, and with it this producer")

func newConnTracker(settings *sarama.Config) *connTracker {
	t := &connTracker{dialer: net.Dialer{Timeout: settings.Net.DialTimeout, KeepAlive: settings.Net.KeepAlive}}
	settings.Net.Proxy.Enable, settings.Net.Proxy.Dialer = true, t // TLS is put around what it gives
	settings.Producer.Retry.BackoffFunc = t.patience(settings.Producer.Retry.Backoff)
	settings.Metadata.Retry.BackoffFunc = t.patience(settings.Metadata.Retry.Backoff)
	return t
}

// patience is how long the client waits between attempts of its own: not at all when there is nothing to
// wait for, so that whoever sends hears of it at once, and tries with another producer.
func (t *connTracker) patience(usual time.Duration) func(retries, most int) time.Duration {
	return func(int, int) time.Duration {
		if t.broken.Load() {
			return 0
		}
		return usual
	}
}

// Dial is the dialer that sarama asks.
func (t *connTracker) Dial(network, address string) (net.Conn, error) {
	if t.broken.Load() {
		return nil, errConnLost
	}
	c, err := t.dialer.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	t.count(1)
	near, far := net.Pipe()
	w := &watched{Conn: c, in: near, of: t}
	go func() {
		_, _ = io.Copy(far, c) // however it ends
		w.lost()
		_ = far.Close()
	}()
	return w, nil
}

// arm says that the client has its id. One whose connections are gone by then is lost already.
func (t *connTracker) arm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = true
	if t.open == 0 {
		t.broken.Store(true)
	}
}

func (t *connTracker) count(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open += n
	if n < 0 && t.armed {
		t.broken.Store(true)
	}
}

// watched is a connection that is read all the time: sarama reads only when it expects an answer,
// and would not notice the end of one that is idle.
type watched struct {
	net.Conn
	in  net.Conn
	of  *connTracker
	end sync.Once
}

// lost is called by whoever notices first, us or the other side.
func (w *watched) lost() { w.end.Do(func() { w.of.count(-1) }) }

// Read gives what has come.
func (w *watched) Read(p []byte) (int, error) { return w.in.Read(p) }

// SetReadDeadline bounds the wait of whoever reads, and not ours.
func (w *watched) SetReadDeadline(t time.Time) error { return w.in.SetReadDeadline(t) }

// SetDeadline bounds both ways.
func (w *watched) SetDeadline(t time.Time) error {
	return errors.Join(w.in.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// Close ends the connection from this side, which the client does at its end, and before it dials again.
func (w *watched) Close() error {
	w.lost()
	return errors.Join(w.in.Close(), w.Conn.Close())
}
