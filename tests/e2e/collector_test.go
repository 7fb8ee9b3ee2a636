package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collected is a span as the collector got it.
type collected struct {
	trace, id, parent string
	name              string
	kind              tracepb.Span_SpanKind
	links             []string // spans of the same trace
	attributes        map[string]string
}

// spans is an OpenTelemetry collector that keeps what it gets (OTLP/HTTP, protobuf).
type spans struct {
	url string

	mu  sync.Mutex
	all []collected
}

func newCollector(t *testing.T) *spans {
	t.Helper()
	s := &spans{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
		http.Error(w, "this takes OTLP in protobuf at /v1/traces", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s.all = append(s.all, collect(span))
			}
		}
	}
}

func collect(span *tracepb.Span) collected {
	c := collected{
		trace: hex.EncodeToString(span.TraceId), id: hex.EncodeToString(span.SpanId), parent: hex.EncodeToString(span.ParentSpanId),
		name: span.Name, kind: span.Kind, attributes: map[string]string{},
	}
	for _, a := range span.Attributes {
		c.attributes[a.Key] = a.Value.GetStringValue()
	}
	for _, link := range span.Links {
		if hex.EncodeToString(link.TraceId) == c.trace {
			c.links = append(c.links, hex.EncodeToString(link.SpanId))
		}
	}
	return c
}

// of gives the spans of one trace.
func (s *spans) of(trace string) []collected {
	s.mu.Lock()
	defer s.mu.Unlock()
	var some []collected
	for _, c := range s.all {
		if c.trace == trace {
			some = append(some, c)
		}
	}
	return some
}
