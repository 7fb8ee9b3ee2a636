package main

import (
	"testing"

	"millrace/adapters/config"
)

// SQLite and the broker inside use memory that the runtime does not count.
func TestServersInTheProcessLeaveLessMemoryToTheServices(t *testing.T) {
	t.Parallel()
	var embedded, half, outside config.Config
	half.Kafka.Brokers = []string{"127.0.0.1:9092"}
	outside.Kafka.Brokers, outside.Postgres.Host = half.Kafka.Brokers, "127.0.0.1"
	for name, c := range map[string]struct {
		config config.Config
		want   int64
	}{"embedded": {embedded, 160 << 20}, "its own database": {half, 160 << 20}, "real servers": {outside, 230 << 20}} {
		if got := memoryOfUp(&c.config); got != c.want {
			t.Errorf("%s: %d MiB", name, got>>20)
		}
	}
}
