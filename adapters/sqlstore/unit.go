package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/intent"
)

// unit is one member's work on a transaction. The services' Tx types are made of it: they stage
// rows and messages, and the batch writes them when the unit has succeeded.
type unit struct {
	core  *Core
	ctx   context.Context // the member's own: its trace, and what it carries. Statements have the batch's
	batch *batch
	tx    *sqldb.Tx
	cause messages.Cause
	now   time.Time

	staged  []*staged       // in the order in which tables are first touched
	out     []outbox.Record // for Kafka
	intents []intended      // for the worker
	after   []func()        // when it is committed

	// For loaders.
	mustRerun bool     // it asked for rows that are not read yet, or blocked
	blocks    []func() // block what it has asked for
	puts      []func() // put what it has written into the batch's caches

	ruled bool // a person says what became of an act

	opening func(eventID string) // a new order's first timeline entry names the message that is published next
}

// intended is an act for the worker of a store's intents.
type intended struct {
	store  *Intents
	intent intent.Intent
}

// stage keeps a row for the flush.
func (u *unit) stage(t *table, row ...any) {
	for _, s := range u.staged { // a handful
		if s.table == t {
			s.rows = append(s.rows, row)
			return
		}
	}
	u.staged = append(u.staged, &staged{table: t, rows: [][]any{row}})
}

// writeNow writes rows at once and gives how many took effect, where a unit that is alone in its transaction, or the
// inbox, has to know.
func (u *unit) writeNow(t *table, rows ...[]any) (int64, error) {
	results, err := u.tx.Batch(u.batch.ctx, t.statements(u.core.DB.Dialect, rows))
	var total int64
	for _, r := range results {
		total += r.Changed
	}
	return total, err
}

// blockRows makes the members behind this one wait for it where they ask for the same rows.
func (u *unit) blockRows() {
	for _, block := range u.blocks {
		block()
	}
}

// Publish stages a message for the outbox. Its id follows from the cause, or is new when a
// request began the work.
func (u *unit) Publish(m messages.Message) error {
	spec, ok := messages.SpecOf(m.Name())
	if !ok {
		return fmt.Errorf("publish %s: %w", m.Name(), messages.ErrUnknownType)
	}
	id, err := u.nextID(m.Name())
	if err != nil {
		return err
	}
	ctx, span := u.creating(spec.Topic, id, m.Order())
	defer span.End()
	traceID := span.SpanContext().TraceID().String()
	envelope, err := messages.Seal(id, traceID, u.now, m)
	if err != nil {
		return err
	}
	payload, err := envelope.Encode()
	if err != nil {
		return err
	}
	if u.opening != nil {
		u.opening(id)
		u.opening = nil
	}
	u.out = append(u.out, outbox.Record{
		ID: id, AggregateID: m.Order(), EventType: m.Name(), Topic: spec.Topic,
		Payload: payload, Headers: u.headers(ctx, envelope, m.Order()), CreatedAt: u.now,
	})
	return nil
}

// creating begins a message's span, to which its headers lead whoever receives it.
func (u *unit) creating(topic, id, orderID string) (context.Context, trace.Span) {
	ctx, span := u.core.Tracer.Start(u.ctx, "create "+topic, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "create"),
			attribute.String("messaging.operation.type", "create"),
			attribute.String("messaging.destination.name", topic),
			attribute.String("messaging.message.id", id),
			attribute.String("messaging.message.conversation_id", orderID),
		)
	}
	return ctx, span
}

// nextID gives a message its id: the same for every delivery of what caused it, and a new one when a request did.
func (u *unit) nextID(name string) (string, error) {
	seed := u.cause.Seed
	if seed == "" {
		seed = u.cause.MessageID
	}
	if seed != "" {
		return messages.DerivedID(seed, name, len(u.out)), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an event id: %w", err)
	}
	return id.String(), nil
}

// headers are those of every message: our own, W3C's trace context, and CloudEvents 1.0.2 in binary mode
// (api/asyncapi.yaml says what each means).
func (u *unit) headers(ctx context.Context, e messages.Envelope, orderID string) map[string]string {
	at := e.OccurredAt.Format(time.RFC3339Nano)
	h := map[string]string{
		"eventId":        e.EventID,
		"traceId":        e.TraceID,
		"spanId":         trace.SpanContextFromContext(ctx).SpanID().String(),
		"correlationId":  orderID,
		"causationId":    u.cause.CausationID,
		"eventType":      e.Type,
		"occurredAt":     at,
		"producer":       u.core.Service,
		"content-type":   "application/json",
		"ce_id":          e.EventID,
		"ce_type":        e.Type,
		"ce_source":      "/" + u.core.Service,
		"ce_time":        at,
		"ce_specversion": "1.0",
		"ce_subject":     orderID,
	}
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(h))
	return h
}
