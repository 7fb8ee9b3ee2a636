package messaging

import (
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace makes the span of a delivery: child of the span that wrote the message and linked to it,
// named and described as OpenTelemetry's conventions for messaging (semconv 1.44) ask.
func (c consumer) trace(next message.HandlerFunc) message.HandlerFunc {
	tracer := c.Tracing.Tracer("millrace/ports/messaging")
	return func(msg *message.Message) ([]*message.Message, error) {
		d := deliveryOf(msg)
		ctx := propagation.TraceContext{}.Extract(msg.Context(), propagation.MapCarrier(msg.Metadata))
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
		if creator := trace.SpanContextFromContext(ctx); creator.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: creator}))
		}
		ctx, span := tracer.Start(ctx, "process "+d.topic, options...)
		defer span.End()
		msg.SetContext(ctx)
		_, err := next(msg)
		if !span.IsRecording() {
			return nil, err
		}
		span.SetAttributes(d.attributes(len(msg.Payload))...)
		if d.err != nil && d.outcome != OutcomeDone {
			span.RecordError(d.err)
			span.SetStatus(codes.Error, reason(d.err))
		}
		return nil, err
	}
}

// attributes describe the delivery and what became of it.
func (d *delivery) attributes(size int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", d.topic),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(int(d.partition))),
		attribute.String("messaging.consumer.group.name", d.group.Name),
		attribute.Int64("messaging.kafka.offset", d.offset),
		attribute.String("messaging.message.id", d.id),
		attribute.String("messaging.message.conversation_id", d.orderID),
		attribute.Int("messaging.message.body.size", size),
		attribute.String("millrace.handler", d.label()),
		attribute.String("millrace.outcome", d.outcome),
		attribute.Int("millrace.attempts", d.attempts),
	}
}
