package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/telemetry"
)

func TestWithoutAnEndpointTracesHaveIdsAndNothingIsRecorded(t *testing.T) {
	t.Parallel()
	provider, err := telemetry.StartTracing(t.Context(), telemetry.TracingConfig{Service: "order-service"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, outer := provider.Tracer("t").Start(t.Context(), "request")
	_, inner := provider.Tracer("t").Start(ctx, "work")
	switch {
	case !outer.SpanContext().TraceID().IsValid():
		t.Error("no trace id")
	case inner.SpanContext().TraceID() != outer.SpanContext().TraceID():
		t.Error("the trace id changes within a trace")
	case outer.IsRecording() || inner.IsRecording():
		t.Error("spans are recorded for nobody")
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSpansReachTheEndpointAtShutdownTheLatest(t *testing.T) {
	t.Parallel()
	type arrival struct{ path, body string }
	arrived := make(chan arrival, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- arrival{r.URL.Path, string(body)}
	}))
	defer collector.Close()

	provider, err := telemetry.StartTracing(t.Context(), telemetry.TracingConfig{Endpoint: collector.URL + "/", Service: "order-service", Version: "v9"})
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("t").Start(t.Context(), "place order")
	span.End()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-arrived
	if got.path != "/v1/traces" {
		t.Errorf("sent to %s", got.path)
	}
	for _, part := range []string{"place order", "order-service", "v9"} {
		if !strings.Contains(got.body, part) {
			t.Errorf("%q is not in what was sent", part)
		}
	}
}

func TestACallerThatSamplesIsFollowedEvenWhereOwnTracesAreNotSampled(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider, err := telemetry.StartTracing(t.Context(), telemetry.TracingConfig{Exporter: spans, Sampler: sdktrace.NeverSample()})
	if err != nil {
		t.Fatal(err)
	}
	_, own := provider.Tracer("t").Start(t.Context(), "own")
	own.End()
	caller := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, called := provider.Tracer("t").Start(trace.ContextWithRemoteSpanContext(t.Context(), caller), "called")
	called.End()
	if err := provider.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := spans.GetSpans(); len(got) != 1 || got[0].Name != "called" {
		t.Errorf("recorded %v", got)
	}
}
