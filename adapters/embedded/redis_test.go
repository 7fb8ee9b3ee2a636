package embedded_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"millrace/adapters/embedded"
)

func startRedis(t *testing.T, opts embedded.RedisOptions) *redis.Client {
	t.Helper()
	r, err := embedded.StartRedis("127.0.0.1:0", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	c := redis.NewClient(&redis.Options{Addr: r.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// untilGone asks for a key until it is not there.
func untilGone(t *testing.T, c *redis.Client, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		err := c.Get(ctx, key).Err()
		if errors.Is(err, redis.Nil) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysExpireAsTimeGoes(t *testing.T) {
	t.Parallel()
	c := startRedis(t, embedded.RedisOptions{Sweep: time.Millisecond})
	for key, ttl := range map[string]time.Duration{"stays": time.Hour, "goes": 20 * time.Millisecond} {
		if err := c.Set(t.Context(), key, "x", ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	untilGone(t, c, "goes")
	if left, err := c.TTL(t.Context(), "stays").Result(); err != nil || left <= 0 || left > time.Hour {
		t.Errorf("the other key has %s left, %v", left, err)
	}
}

func TestTheCacheStartsEmptyAfterManyCommandsAndItsClientsGoOn(t *testing.T) {
	t.Parallel()
	c := startRedis(t, embedded.RedisOptions{Sweep: time.Millisecond, RenewAfter: 20})
	if err := c.Set(t.Context(), "key", "x", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	untilGone(t, c, "key")
	if err := c.Set(t.Context(), "key", "y", time.Hour).Err(); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
}
