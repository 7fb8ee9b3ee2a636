package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/telemetry"
	"millrace/app/messages"
)

func inHandler(t *testing.T) context.Context {
	t.Helper()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0: 0xab, 15: 1}, SpanID: trace.SpanID{7: 2}})
	return messages.WithCause(trace.ContextWithSpanContext(t.Context(), span), messages.Cause{
		Consumer: "payment", MessageID: "evt_1", CorrelationID: "ord_1", Type: "OrderCreated",
		Topic: "order.events", Partition: 3, Offset: 42,
	})
}

func TestEveryLineOfAHandlerNamesTraceOrderAndMessage(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, "json", "info", "payment-service")
	log.With("handler", "capture").InfoContext(inHandler(t), "charged", "amount", 2400)

	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for key, want := range map[string]any{
		"service": "payment-service", "handler": "capture", "amount": 2400.0, "msg": "charged", "level": "INFO",
		"traceId": "ab000000000000000000000000000001", "spanId": "0000000000000002",
		"eventId": "evt_1", "correlationId": "ord_1", "type": "OrderCreated",
		"topic": "order.events", "partition": 3.0, "offset": 42.0,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, not %v", key, line[key], want)
		}
	}
}

func TestALineOutsideOfAHandlerHasNoEmptyIDs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	telemetry.NewLogger(&out, "text", "info", "payment-service").InfoContext(t.Context(), "started")
	if s := out.String(); strings.Contains(s, "Id=") || strings.Contains(s, "topic=") || !strings.Contains(s, "service=payment-service") {
		t.Error(s)
	}
}

func TestWhatTheLineItselfSaysIsNotSaidTwice(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	telemetry.NewLogger(&out, "text", "info", "orchestrator").InfoContext(inHandler(t), "fired", "correlationId", "ord_2")
	if s := out.String(); strings.Count(s, "correlationId=") != 1 || !strings.Contains(s, "correlationId=ord_2") {
		t.Error(s)
	}
}

func TestTheLevelIsTheLowestThatIsWritten(t *testing.T) {
	t.Parallel()
	for level, lines := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "odd": 3} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "text", level, "x")
		log.Debug("1")
		log.Info("2")
		log.Warn("3")
		log.Error("4")
		if got := strings.Count(out.String(), "\n"); got != lines {
			t.Errorf("%s writes %d lines of four, not %d", level, got, lines)
		}
	}
}
