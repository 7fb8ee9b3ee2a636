// Package telemetry is how Millrace is seen from outside: logs, traces and metrics.
//
// It is told what happened and says so. No decision may depend on anything in this package, and
// it starts no polling of its own: gauges are set by whoever knows the value.
package telemetry

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"millrace/app/messages"
)

// NewLogger writes a line for each record to w, as "text" or "json". Level is debug, info, warn or
// error; any other means info. Every line names the service; a line that is logged with a context
// also names the trace and what led to the work in hand:
//
//	traceId, spanId              the OpenTelemetry span
//	eventId                      the delivered message
//	correlationId                the order
//	type                         the message's type
//	topic, partition, offset     where the message was read
func NewLogger(w io.Writer, format, level, service string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: levelOf(level)}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if format == "text" {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(inContext{h}).With("service", service)
}

func levelOf(name string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// inContext adds to each record what its context knows.
type inContext struct{ slog.Handler }

func (h inContext) Handle(ctx context.Context, r slog.Record) error {
	said := make(map[string]bool, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool { said[a.Key] = true; return true })
	add := func(key string, value any) {
		if value != "" && !said[key] { // the line itself knows better
			r.AddAttrs(slog.Any(key, value))
		}
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		add("traceId", span.TraceID().String())
		add("spanId", span.SpanID().String())
	}
	cause := messages.CauseOf(ctx)
	add("eventId", cause.MessageID)
	add("correlationId", cause.CorrelationID)
	add("type", cause.Type)
	if cause.Topic != "" {
		add("topic", cause.Topic)
		add("partition", cause.Partition)
		add("offset", cause.Offset)
	}
	return h.Handler.Handle(ctx, r)
}

func (h inContext) WithAttrs(attrs []slog.Attr) slog.Handler {
	return inContext{h.Handler.WithAttrs(attrs)}
}

func (h inContext) WithGroup(name string) slog.Handler {
	return inContext{h.Handler.WithGroup(name)}
}
