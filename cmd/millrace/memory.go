package main

import (
	"os"
	"runtime/debug"
)

// What the runtime tries to stay below under load, and how much garbage it lets gather before
// that: the services keep little alive and make much garbage, so with Go's default they would
// spend a fifth of their time on collecting it. GOMEMLIMIT and GOGC override both.
const (
	embeddedMemory = 160 << 20 // all services and servers in one process, beside a developer's other programs
	servicesMemory = 230 << 20 // all services in one process, on a database and a broker of their own
	serviceMemory  = 200 << 20
	garbagePercent = 1000
)

func tuneMemory(limit int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
