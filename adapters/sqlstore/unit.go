package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
)

// unit is one transaction in the making. The services' Tx types are made of it: they stage rows,
// and flush writes them.
type unit struct {
	core  *Core
	ctx   context.Context
	tx    *sqldb.Tx
	cause messages.Cause
	now   time.Time

	staged []staged        // in the order in which tables are first touched
	out    []outbox.Record // for Kafka
	after  []func()        // when it is committed
	index  map[*table]int  // where a table's rows are in staged

	parked bool // the message waits behind a dead letter: it was not handled
	ruled  bool // a person says what became of an act
	left   bool // the message came again, and is a dead letter or parked

	opening func(eventID string) // a new order's first timeline entry names the message that is published next
}

// staged is the rows of one table, written by one statement.
type staged struct {
	table *table
	rows  [][]any
	took  int64 // how many of them took effect
}

// stage keeps a row for the flush.
func (u *unit) stage(t *table, row ...any) {
	if u.index == nil {
		u.index = map[*table]int{}
	}
	i, ok := u.index[t]
	if !ok {
		i = len(u.staged)
		u.index[t] = i
		u.staged = append(u.staged, staged{table: t})
	}
	u.staged[i].rows = append(u.staged[i].rows, row)
}

// flush writes every staged row, one statement a table and all of them at once, and the outbox.
func (u *unit) flush() error {
	if len(u.staged) > 0 {
		if err := u.write(); err != nil {
			return err
		}
	}
	if len(u.out) == 0 {
		return nil
	}
	return u.core.Outbox.Append(u.ctx, u.tx.Tx, u.out)
}

func (u *unit) write() error {
	var statements []sqldb.Statement
	var of []int // which of staged a statement belongs to
	for i, s := range u.staged {
		for _, statement := range s.table.statements(u.core.DB.Dialect, s.rows) {
			statements = append(statements, statement)
			of = append(of, i)
		}
	}
	changed, err := u.tx.Batch(u.ctx, statements)
	if err != nil {
		return fmt.Errorf("write what was staged: %w", err)
	}
	for n, i := range of {
		u.staged[i].took += changed[n]
	}
	for _, s := range u.staged {
		if s.table.every && s.took != int64(len(s.rows)) {
			return fmt.Errorf("write %s: %w", s.table.name, ErrStale)
		}
	}
	return nil
}

// allTook says whether every row of a table took effect, once the unit is flushed.
func (u *unit) allTook(t *table) bool {
	i, ok := u.index[t]
	return ok && u.staged[i].took == int64(len(u.staged[i].rows))
}

// committed runs what waits for the commit.
func (u *unit) committed() {
	for _, f := range u.after {
		f()
	}
	if len(u.out) > 0 {
		u.core.Wake()
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
	ctx, span := u.core.Tracer.Start(u.ctx, "create "+spec.Topic, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "create"),
			attribute.String("messaging.operation.type", "create"),
			attribute.String("messaging.destination.name", spec.Topic),
			attribute.String("messaging.message.id", id),
			attribute.String("messaging.message.conversation_id", m.Order()),
		))
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

// headers are those of DESIGN's section on messages: ours, the trace context, and CloudEvents
// 1.0.2 in binary mode.
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

// in runs a SELECT whose ? stands for a set.
func (u *unit) in(dest any, query string, args ...any) error {
	expanded, flat, err := sqlx.In(query, args...)
	if err != nil {
		return err
	}
	return u.tx.SelectContext(u.ctx, dest, u.tx.Rebind(expanded), flat...)
}
