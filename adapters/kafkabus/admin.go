package kafkabus

import (
	"context"
	"errors"
	"sync"

	"github.com/IBM/sarama"
	"golang.org/x/sync/singleflight"

	"millrace/domain/fault"
)

// Admin asks Kafka about itself and makes topics. It connects when it is first used and again
// after every failure, and may be used by many goroutines at once.
type Admin struct {
	cfg    Config
	sarama *sarama.Config

	mu     sync.Mutex
	conn   *connection
	closed bool
	pings  singleflight.Group
}

type connection struct {
	client sarama.Client
	admin  sarama.ClusterAdmin
}

// NewAdmin checks the settings and fails with fault.Invalid. It does not need Kafka.
func NewAdmin(cfg Config) (*Admin, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	settings, err := cfg.saramaConfig()
	if err != nil {
		return nil, err
	}
	settings.Metadata.Retry.Max = 1 // whoever asks decides how often to ask again
	settings.Admin.Retry.Max = 1
	return &Admin{cfg: cfg, sarama: settings}, nil
}

// Ping returns nil when a broker answers, and fails with fault.Unavailable otherwise. Pings at the
// same time are one: a broker that never answers does not gather them.
func (a *Admin) Ping(ctx context.Context) error {
	return wait(ctx, a.pings.DoChan("", func() (any, error) {
		return nil, a.try(func(c *connection) error {
			_, _, err := c.admin.DescribeCluster()
			return err
		})
	}))
}

// Close closes the connection.
func (a *Admin) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return a.disconnect(a.conn)
}

// ask runs fn with a connection and gives up waiting for it when ctx ends, which sarama cannot:
// fn is then left to its own time-outs.
func (a *Admin) ask(ctx context.Context, fn func(*connection) error) error {
	answer := make(chan singleflight.Result, 1)
	go func() { answer <- singleflight.Result{Err: a.try(fn)} }()
	return wait(ctx, answer)
}

func wait(ctx context.Context, answer <-chan singleflight.Result) error {
	select {
	case a := <-answer:
		if _, classified := fault.Find(a.Err); a.Err == nil || classified {
			return a.Err
		}
		return fault.Wrap(fault.Unavailable, "kafka_unavailable", a.Err)
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "kafka_unavailable", context.Cause(ctx))
	}
}

// try runs fn with a connection. One on which it failed is not used again.
func (a *Admin) try(fn func(*connection) error) error {
	conn, err := a.connected()
	if err != nil {
		return err
	}
	if err = fn(conn); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = a.disconnect(conn) // fn's own failure says more
	}
	return err
}

// connected gives the connection in use, or makes one. Nothing is held while it does.
func (a *Admin) connected() (*connection, error) {
	a.mu.Lock()
	conn, closed := a.conn, a.closed
	a.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case conn != nil:
		return conn, nil
	}
	client, err := sarama.NewClient(a.cfg.Brokers, a.sarama)
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	conn = &connection{client: client, admin: admin}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, errors.Join(ErrClosed, a.disconnect(conn))
	case a.conn != nil: // another was faster
		return a.conn, a.disconnect(conn)
	}
	a.conn = conn
	return conn, nil
}

// disconnect closes conn, and forgets it where it is the one in use. The caller holds mu.
func (a *Admin) disconnect(conn *connection) error {
	if conn == nil {
		return nil
	}
	if a.conn == conn {
		a.conn = nil
	}
	if err := conn.admin.Close(); err != nil && !errors.Is(err, sarama.ErrClosedClient) { // closes the client too
		return err
	}
	return nil
}
