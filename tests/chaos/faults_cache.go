package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// cacheFaults strike Redis, without which everything must be slower and nothing wrong.
func cacheFaults() []fault {
	return []fault{
		{
			name: "redis/flushed", kind: "Redis flushed", on: both, short: both, hurts: []string{"redis"},
			does: "FLUSHALL: every mark of a handled message and every cached reply is gone",
			begin: func(ctx context.Context, w *world) (blow, error) {
				cache := redis.NewClient(&redis.Options{Addr: w.redis})
				defer cache.Close()
				n, err := cache.DBSize(ctx).Result()
				if err == nil {
					err = cache.FlushAll(ctx).Err()
				}
				return blow{seen: func(context.Context) (string, bool) { return fmt.Sprintf("%d keys are gone", n), n > 0 }}, err
			},
		},
		{
			name: "redis/killed", kind: "Redis killed", on: []string{realStack}, short: both, hurts: []string{"redis"},
			does: "SIGKILL, 4 s without it, started again empty",
			begin: func(ctx context.Context, w *world) (blow, error) {
				return blow{
					seen: func(context.Context) (string, bool) { return "it is gone", true }, hold: 4 * time.Second,
					heal: func(ctx context.Context) error { return w.servers.infra(ctx, "start", "redis") },
				}, w.servers.infra(ctx, "kill", "redis")
			},
		},
		{
			name: "redis/slow", kind: "Redis slow", on: []string{realStack}, hurts: []string{"redis"},
			does: "the link to Redis delays every answer by 300 ms for 4 s",
			begin: func(_ context.Context, w *world) (blow, error) {
				return blow{
					seen: func(ctx context.Context) (string, bool) {
						cache := redis.NewClient(&redis.Options{Addr: w.links["redis"].proxy.Listen})
						defer cache.Close()
						from := time.Now()
						err := cache.Ping(ctx).Err()
						return fmt.Sprintf("a ping takes %s, %v", time.Since(from).Round(time.Millisecond), err), time.Since(from) > 300*time.Millisecond
					},
					hold: 4 * time.Second, heal: w.links["redis"].quick,
				}, w.links["redis"].slow(300)
			},
		},
	}
}
