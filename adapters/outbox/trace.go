package outbox

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// traced publishes one message inside a span "send <topic>", when the work that wrote the message
// was sampled. The span is linked to that work's span "create", as OpenTelemetry's conventions for
// messaging want it, and is also its child, so that an order's way is one trace.
func (s *sender) traced(topic string, msg *message.Message, d *delivery) error {
	created := creation(msg)
	if !created.IsSampled() {
		return s.to.Publish(topic, msg)
	}
	ctx, span := s.tracer.Start(trace.ContextWithRemoteSpanContext(msg.Context(), created), "send "+topic,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.Link{SpanContext: created}),
		trace.WithAttributes(
			semconv.MessagingSystemKafka,
			semconv.MessagingOperationTypeSend,
			semconv.MessagingOperationName("send"),
			semconv.MessagingDestinationName(topic),
			semconv.MessagingMessageID(msg.UUID),
			semconv.MessagingMessageConversationID(d.row.aggregate),
			semconv.MessagingKafkaMessageKey(d.row.aggregate),
		))
	defer span.End()
	msg.SetContext(ctx)
	err := s.to.Publish(topic, msg)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// creation is the span in which the message was written, from its header traceparent.
func creation(msg *message.Message) trace.SpanContext {
	if msg.Metadata["traceparent"] == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier(msg.Metadata))
	return trace.SpanContextFromContext(ctx)
}
