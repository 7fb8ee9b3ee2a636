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

// producer is one idempotent producer, with the id that Kafka gave it. It does not outlive its
// connections: a broker that was lost with its disk counts producer ids from zero again, and gives
// ours to somebody else. What two producers then send with one id and one sequence number, the
// broker takes for a repetition: it says yes, and keeps one of them. So a producer that lost a
// connection is given up, and the next one asks for an id of its own.
type producer struct {
	kafka *kafka.Publisher
	line  *line

	using  sync.RWMutex // held for reading while publishing
	closed bool
}

func newProducer(cfg Config) (*producer, error) {
	settings, err := cfg.saramaConfig()
	if err != nil {
		return nil, err
	}
	l := newLine(settings)
	inner, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: cfg.Brokers, Marshaler: marshaler{}, OverwriteSaramaConfig: settings, Tracer: gathers{},
	}, watermillLog(cfg.Logger))
	if err != nil {
		return nil, err
	}
	return &producer{kafka: inner, line: l}, nil
}

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

// line dials for one client, and knows whether the other side has ended a connection since.
type line struct {
	dialer net.Dialer
	broken atomic.Bool
}

func newLine(settings *sarama.Config) *line {
	l := &line{dialer: net.Dialer{Timeout: settings.Net.DialTimeout, KeepAlive: settings.Net.KeepAlive}}
	settings.Net.Proxy.Enable, settings.Net.Proxy.Dialer = true, l // TLS is put around what it gives
	return l
}

// Dial is the dialer that sarama asks.
func (l *line) Dial(network, address string) (net.Conn, error) {
	c, err := l.dialer.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	w := &watched{Conn: c, in: near}
	go func() {
		_, _ = io.Copy(far, c) // however it ends
		if !w.closed.Load() {
			l.broken.Store(true)
		}
		_ = far.Close()
	}()
	return w, nil
}

// watched is a connection that is read all the time: sarama reads only when it expects an answer,
// and would not notice the end of one that is idle.
type watched struct {
	net.Conn
	in     net.Conn
	closed atomic.Bool // by us
}

// Read gives what has come.
func (w *watched) Read(p []byte) (int, error) { return w.in.Read(p) }

// SetReadDeadline bounds the wait of whoever reads, and not ours.
func (w *watched) SetReadDeadline(t time.Time) error { return w.in.SetReadDeadline(t) }

// SetDeadline bounds both ways.
func (w *watched) SetDeadline(t time.Time) error {
	return errors.Join(w.in.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// Close ends the connection from this side.
func (w *watched) Close() error {
	w.closed.Store(true)
	return errors.Join(w.in.Close(), w.Conn.Close())
}
