// Package rediscache keeps in Redis what the databases know already, to answer sooner: replies of
// idempotency keys, and marks of messages that were handled.
//
// It is a cache and nothing else. It may be flushed at any time and Redis may be away: callers get
// the same answers then, only slower, and never an error. Nothing may be stored here alone.
package rediscache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/trace"

	"millrace/domain/fault"
)

// Config is how to reach Redis. Zero values stand for the defaults.
type Config struct {
	Addr     string // host:port
	Password string

	ReplyTTL time.Duration // of replies; 24 h
	MarkTTL  time.Duration // of marks; 24 h
	Timeout  time.Duration // for one call, connecting included; 75 ms
	Pause    time.Duration // how long Redis is left alone after failures in a row; 1 s

	Logger  *slog.Logger
	OnState func(state string)   // hears closed, half-open or open, with a lock held; may be nil
	Tracer  trace.TracerProvider // makes a span a command; nil makes none
}

// failures in a row after which Redis is left alone.
const failures = 3

// errAway is what Ready says.
var errAway = fault.New(fault.Unavailable, "redis_away", "Redis cannot be reached")

// Cache is a connection to Redis that never fails its callers. It is safe for concurrent use.
type Cache struct {
	client  *redis.Client
	circuit *gobreaker.CircuitBreaker[[]byte]
	writes  *writer
	asking  chan struct{} // holds a token for every question that has no answer yet

	replyTTL time.Duration
	markTTL  time.Duration
	timeout  time.Duration
}

// New makes a cache. It does not connect: Redis may come later.
func New(c Config) (*Cache, error) {
	c.ReplyTTL = cmp.Or(c.ReplyTTL, 24*time.Hour)
	c.MarkTTL = cmp.Or(c.MarkTTL, 24*time.Hour)
	c.Timeout = cmp.Or(c.Timeout, 75*time.Millisecond)
	c.Pause = cmp.Or(c.Pause, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	client := redis.NewClient(&redis.Options{
		Addr: c.Addr, Password: c.Password,
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout,
		ContextTimeoutEnabled:    true,
		DialerRetries:            1,
		MaxRetries:               -1, // the database answers sooner than a second try
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if c.Tracer != nil {
		if err := redisotel.InstrumentTracing(client, redisotel.WithTracerProvider(c.Tracer), redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false)); err != nil {
			return nil, fmt.Errorf("trace Redis: %w", err)
		}
	}
	cache := &Cache{
		client: client, circuit: newCircuit(c),
		replyTTL: c.ReplyTTL, markTTL: c.MarkTTL, timeout: c.Timeout,
		asking: make(chan struct{}, max(1, client.Options().PoolSize-1)), // one connection is for writing
	}
	cache.writes = startWriter(cache.send)
	return cache, nil
}

// newCircuit makes the breaker: a Redis that is away costs one slow call a pause, and one log line.
func newCircuit(c Config) *gobreaker.CircuitBreaker[[]byte] {
	// All functions below are called with the breaker's lock held.
	var away bool
	var last error
	return gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:         "redis",
		Timeout:      c.Pause,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= failures },
		IsSuccessful: func(err error) bool { last = err; return err == nil || errors.Is(err, redis.Nil) },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) }, // the caller left
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && !away:
				away = true
				c.Logger.Warn("Redis is away; the databases answer instead, slower", "addr", c.Addr, "error", last)
			case to == gobreaker.StateClosed && away:
				away = false
				c.Logger.Info("Redis is back", "addr", c.Addr)
			}
			if c.OnState != nil {
				c.OnState(to.String())
			}
		},
	})
}

// Quiet ends the lines that the Redis library writes to stderr for each failed connection; New's
// Logger says what is worth saying. It holds for the whole process and is called once, by the
// composition root.
func Quiet() { logging.Disable() }

// get gives the value of a key; false when there is none or Redis does not say. When every
// connection is in use it is not asked: the database answers sooner than the queue in front of them,
// and that queue says nothing about Redis.
func (c *Cache) get(ctx context.Context, key string) ([]byte, bool) {
	if !c.ask() {
		return nil, false
	}
	defer func() { <-c.asking }()
	value, err := c.circuit.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return c.client.Get(ctx, key).Bytes()
	})
	return value, err == nil
}

// ask says whether there is a connection for a question, and takes it.
func (c *Cache) ask() bool {
	select {
	case c.asking <- struct{}{}:
		return true
	default:
		return false
	}
}

// exist says of each key whether Redis has it; of none when Redis does not say, as in get.
func (c *Cache) exist(ctx context.Context, keys []string) []bool {
	found := make([]bool, len(keys))
	if !c.ask() {
		return found
	}
	defer func() { <-c.asking }()
	_, _ = c.circuit.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		values, err := c.client.MGet(ctx, keys...).Result()
		for i, value := range values {
			found[i] = value != nil
		}
		return nil, err
	})
	return found
}

// send writes a batch in one round trip. What fails is forgotten: it is a cache.
func (c *Cache) send(batch []entry) {
	_, _ = c.circuit.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		defer cancel()
		_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range batch {
				p.Set(ctx, e.key, e.value, e.ttl)
			}
			return nil
		})
		return nil, err
	})
}

// Ready says whether Redis answers. It fails with fault.Unavailable. Redis away is no reason to
// take a service out of service.
func (c *Cache) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.client.Ping(ctx).Err(); err != nil {
		return errAway.Because(err)
	}
	return nil
}

// Close writes what is queued, as far as Redis takes it, and ends the connections. A closed cache
// knows nothing and forgets what it is told.
func (c *Cache) Close() error {
	c.writes.close()
	return c.client.Close()
}
