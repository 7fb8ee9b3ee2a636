package main

import (
	"os"
	"runtime/debug"

	"millrace/adapters/config"
)

// What the runtime tries to stay below under load, and how much garbage it lets gather before
// that: the services keep little alive and make much garbage, so with Go's default they would
// spend a fifth of their time on collecting it. GOMEMLIMIT and GOGC override both.
const (
	embeddedMemory = 160 << 20 // all services in one process, with a database or a broker in it that need more
	servicesMemory = 230 << 20 // all services in one process, which has neither
	serviceMemory  = 200 << 20
	garbagePercent = 1000
)

// memoryOfUp is the limit of a process with all services in it.
func memoryOfUp(c *config.Config) int64 {
	if c.Postgres.Host != "" && len(c.Kafka.Brokers) > 0 {
		return servicesMemory
	}
	return embeddedMemory
}

func tuneMemory(limit int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
