package outbox_test

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

func TestASampledMessageIsSentInsideASpanOfItsTrace(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		s := newStage()
		refusals := 0
		s.refuse = func(_ string, msg *message.Message) error {
			if msg.Metadata["correlationId"] != "ord_1" {
				return nil
			}
			if refusals++; refusals == 1 {
				return errors.New("not now")
			}
			if !trace.SpanContextFromContext(msg.Context()).IsSampled() {
				t.Error("the publisher does not see the span")
			}
			return nil
		}
		sampled, unsampled, untraced := record("ord_1", "a"), record("ord_2", "b"), record("ord_3", "c")
		sampled.Headers["traceparent"] = "00-" + traceID + "-" + spanID + "-01"
		unsampled.Headers["traceparent"] = "00-" + traceID + "-" + spanID + "-00"
		write(t, db, sampled, unsampled, untraced)
		start(t, db, s, func(c *outbox.Config) { c.Tracer = provider })
		s.awaitPublished(t, 3)

		ended := spans.Ended()
		if len(ended) != 2 {
			t.Fatalf("%d spans, want one for each attempt with the sampled message", len(ended))
		}
		if ended[0].Status().Code != codes.Error {
			t.Errorf("the refused attempt has status %v", ended[0].Status())
		}
		span := ended[1]
		if span.Name() != "send payment.events" || span.SpanKind() != trace.SpanKindClient || span.Status().Code != codes.Unset {
			t.Errorf("span %q, kind %v, status %v", span.Name(), span.SpanKind(), span.Status())
		}
		if len(span.Links()) != 1 || span.Links()[0].SpanContext.SpanID().String() != spanID ||
			span.SpanContext().TraceID().String() != traceID {
			t.Errorf("links %v in trace %v", span.Links(), span.SpanContext().TraceID())
		}
		got := attribute.NewSet(span.Attributes()...)
		for key, want := range map[attribute.Key]string{
			"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.operation.name": "send",
			"messaging.destination.name": "payment.events", "messaging.message.id": sampled.ID,
			"messaging.message.conversation_id": "ord_1",
		} {
			if value, _ := got.Value(key); value.AsString() != want {
				t.Errorf("%s is %q, want %q", key, value.AsString(), want)
			}
		}
	})
}
