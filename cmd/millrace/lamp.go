package main

import (
	"sync"

	"millrace/adapters/telemetry"
)

// lamp shows the state of one dependency's circuit in the metrics of every service of this process
// that stands on it.
type lamp struct {
	dependency string

	mu    sync.Mutex
	state string
	on    []*telemetry.Metrics
}

func newLamp(dependency string) *lamp { return &lamp{dependency: dependency, state: "closed"} }

// set takes a change of state.
func (l *lamp) set(state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	for _, m := range l.on {
		m.CircuitState(l.dependency, state)
	}
}

// show adds a service's metrics. A nil lamp, of a dependency that is not used, shows nothing.
func (l *lamp) show(m *telemetry.Metrics) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = append(l.on, m)
	m.CircuitState(l.dependency, l.state)
}
