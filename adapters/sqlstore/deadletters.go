package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/adapters/outbox"
	"millrace/app/messages"
)

var (
	deadLetterRow = insert("dead_letters", `id text, message_id text, order_id text, service text, consumer text, handler text,
		type text, topic text, partition_no integer, offset_no bigint, record_key bytea, payload bytea, headers text, reason text,
		error text, attempts integer, first_at timestamptz, last_at timestamptz`, "ON CONFLICT (id) DO NOTHING")
	inboxDead = insert("inbox", "consumer text, message_id text, outcome text, handled_at timestamptz", "ON CONFLICT DO NOTHING")
)

// DeadLetters is where a service's refused messages are kept.
type DeadLetters struct{ core *Core }

// NewDeadLetters makes the store.
func NewDeadLetters(core *Core) *DeadLetters { return &DeadLetters{core} }

// Keep writes the dead letter, the inbox outcome "dead" and the copy for <service>.dlq in one
// transaction. Keeping the same one again changes nothing, nor does keeping one whose message was
// handled meanwhile.
func (s *DeadLetters) Keep(ctx context.Context, d messages.DeadLetter) error {
	err := s.core.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		n, err := u.writeNow(inboxDead, []any{d.Consumer, d.MessageID, "dead", u.now})
		if err != nil || n == 0 {
			return err // it was handled, or kept, before
		}
		u.stage(deadLetterRow, d.ID, d.MessageID, d.OrderID, d.Service, d.Consumer, d.Handler, d.Type, d.Topic, d.Partition,
			d.Offset, d.Key, d.Payload, jsonText(d.Headers), d.Reason, d.Error, d.Attempts, d.FirstAt.UTC(), d.LastAt.UTC())
		u.out = append(u.out, outbox.Record{
			ID: d.ID, AggregateID: cmp.Or(d.OrderID, d.ID), EventType: cmp.Or(d.Type, "DeadLetter"), Topic: messages.DeadLetters(d.Service),
			Payload: d.Payload, Headers: copyHeaders(d), CreatedAt: u.now,
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	return nil
}

// copyHeaders gives the copy in <service>.dlq the record's own headers and, prefixed with
// "deadletter-", where it was read, who refused it, and why.
func copyHeaders(d messages.DeadLetter) map[string]string {
	h := make(map[string]string, len(d.Headers)+16)
	for name, value := range d.Headers {
		h[name] = value
	}
	h["eventId"] = d.ID
	h["correlationId"] = d.OrderID
	h["deadletter-message-id"] = d.MessageID
	h["deadletter-topic"] = d.Topic
	h["deadletter-partition"] = strconv.Itoa(int(d.Partition))
	h["deadletter-offset"] = strconv.FormatInt(d.Offset, 10)
	h["deadletter-key"] = strings.ToValidUTF8(string(d.Key), "?")
	h["deadletter-consumer"] = d.Consumer
	h["deadletter-handler"] = d.Handler
	h["deadletter-reason"] = d.Reason
	h["deadletter-error"] = d.Error
	h["deadletter-attempts"] = strconv.Itoa(d.Attempts)
	h["deadletter-first-at"] = d.FirstAt.UTC().Format(time.RFC3339Nano)
	h["deadletter-last-at"] = d.LastAt.UTC().Format(time.RFC3339Nano)
	return h
}
