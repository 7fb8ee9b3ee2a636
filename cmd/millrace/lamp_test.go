package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/adapters/telemetry"
	"millrace/app/messages"
)

func TestACircuitIsSeenByEveryServiceThatStandsOnIt(t *testing.T) {
	t.Parallel()
	shown := newLamp("database")
	early, late := telemetry.NewMetrics(messages.OrderService), telemetry.NewMetrics(messages.Orchestrator)
	shown.show(early)
	want := func(m *telemetry.Metrics, value string) {
		t.Helper()
		page := httptest.NewRecorder()
		m.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		if line := `circuit_state{dependency="database"} ` + value + "\n"; !strings.Contains(page.Body.String(), line) {
			t.Errorf("/metrics has no line %q", line)
		}
	}
	want(early, "0")
	shown.set("open")
	shown.show(late)
	want(early, "2")
	want(late, "2")
	shown.set("half-open")
	want(early, "1")
	want(late, "1")
	var unused *lamp
	unused.show(early) // a dependency that is not there has no state
}
