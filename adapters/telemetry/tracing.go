package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingConfig says who makes spans and where they go.
type TracingConfig struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318; spans
	// are sent to /v1/traces below it. Headers, time-out and certificates come from the standard
	// OTEL_EXPORTER_OTLP_* variables. Without an endpoint no span is recorded.
	Endpoint string

	Service string
	Version string

	// Sampler decides for traces that begin here; those that come from a caller are sampled as the
	// caller decided. Nil samples all. It has no say when nothing is exported.
	Sampler sdktrace.Sampler

	// Exporter takes the spans instead of an Endpoint.
	Exporter sdktrace.SpanExporter
}

// StartTracing makes the provider of a service's spans. It does not wait for the collector. Where
// nothing is exported, traces still have ids, so that envelopes and logs can name them, and cost
// next to nothing. The caller ends it with the provider's Shutdown, which sends what is left.
func StartTracing(ctx context.Context, c TracingConfig) (*sdktrace.TracerProvider, error) {
	exporter := c.Exporter
	if exporter == nil && c.Endpoint != "" {
		over, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(c.Endpoint, "/")+"/v1/traces"))
		if err != nil {
			return nil, fmt.Errorf("set up the export of traces to %s: %w", c.Endpoint, err)
		}
		exporter = over
	}
	if exporter == nil {
		return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), nil
	}
	if c.Sampler == nil {
		c.Sampler = sdktrace.AlwaysSample()
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(c.Sampler)),
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "millrace"),
			attribute.String("service.name", c.Service),
			attribute.String("service.version", c.Version),
		)),
	), nil
}

// Install makes provider and W3C Trace Context what libraries find when nothing is handed to them,
// and sends the export's complaints to logger, one a minute at most. It is called once, by the
// composition root. Baggage is not passed on: it could carry personal data from outside.
func Install(provider trace.TracerProvider, logger *slog.Logger) {
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetErrorHandler(&complaints{logger: logger, now: time.Now})
}

// complaints logs errors of the telemetry itself without letting a dead collector flood the log.
type complaints struct {
	logger *slog.Logger
	now    func() time.Time

	mu   sync.Mutex
	last time.Time
}

// Handle takes one error.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.last.IsZero() && now.Sub(c.last) < time.Minute {
		return
	}
	c.last = now
	c.logger.Warn("telemetry could not be delivered", "error", err)
}
