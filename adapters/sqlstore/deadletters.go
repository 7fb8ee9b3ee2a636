package sqlstore

import (
	"cmp"
	"context"
	"errors"
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
		error text, attempts integer, first_at timestamptz, last_at timestamptz, state text, position integer`, "ON CONFLICT (id) DO NOTHING")
	letterLog = insert("dead_letter_log", "letter_id text, version integer, at timestamptz, act text, actor text, reason text",
		"ON CONFLICT DO NOTHING")
)

// DeadLetters is where a service's refused messages are kept.
type DeadLetters struct{ core *Core }

// NewDeadLetters makes the store.
func NewDeadLetters(core *Core) *DeadLetters { return &DeadLetters{core} }

// errNothingToKeep takes a transaction back whose message was handled, or kept, before.
var errNothingToKeep = errors.New("the message was handled or kept before")

// Keep writes the dead letter, the inbox outcome "dead" and the copy for <service>.dlq in one
// transaction, and holds the order: what comes of it later waits. Keeping the same one again changes
// nothing, nor does keeping one whose message was handled meanwhile. A letter that was sent again
// and has failed again goes back to its place.
func (s *DeadLetters) Keep(ctx context.Context, d messages.DeadLetter) error {
	keep := keepNew
	if d.Redrive != nil {
		keep = keepAgain
	}
	err := s.core.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error { return keep(u, d) })
	if err != nil && !errors.Is(err, errNothingToKeep) {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	return nil
}

func keepNew(u *unit, d messages.DeadLetter) error {
	position, err := u.hold(d.Consumer, d.OrderID)
	if err != nil {
		return err
	}
	n, err := u.writeNow(inboxRow, []any{d.Consumer, d.MessageID, "dead", u.now})
	if err != nil || n == 0 {
		return cmp.Or(err, errNothingToKeep)
	}
	u.stageLetter(d, "waiting", position)
	u.log(d.ID, 1, "kept", "", d.Reason)
	u.copyOut(d, d.ID)
	return nil
}

func keepAgain(u *unit, d messages.DeadLetter) error {
	r := d.Redrive
	if err := u.lockOrder(r.Consumer, d.OrderID); err != nil {
		return err
	}
	n, err := u.change(`UPDATE dead_letters SET state = 'waiting', version = version + 1, reason = ?, error = ?, attempts = attempts + ?,
		last_at = ? WHERE id = ? AND version = ? AND state = 'redriving'`,
		d.Reason, d.Error, d.Attempts, d.LastAt.UTC(), r.LetterID, r.Version)
	if err != nil || n == 0 {
		return cmp.Or(err, errNothingToKeep)
	}
	if _, err := u.writeNow(inboxOver, []any{r.Consumer, r.MessageID, "dead", u.now}); err != nil {
		return err
	}
	u.log(r.LetterID, r.Version+1, "failed again", "", d.Reason)
	d.ID = r.LetterID
	u.copyOut(d, messages.DerivedID(d.ID, "failed_again", r.Version))
	return nil
}

func (u *unit) stageLetter(d messages.DeadLetter, state string, position int) {
	u.stage(deadLetterRow, d.ID, d.MessageID, d.OrderID, d.Service, d.Consumer, d.Handler, d.Type, d.Topic, d.Partition,
		d.Offset, d.Key, d.Payload, jsonText(d.Headers), d.Reason, d.Error, d.Attempts, d.FirstAt.UTC(), d.LastAt.UTC(), state, position)
}

// copyOut sends the copy for <service>.dlq.
func (u *unit) copyOut(d messages.DeadLetter, id string) {
	u.out = append(u.out, outbox.Record{
		ID: id, AggregateID: cmp.Or(d.OrderID, d.ID), EventType: cmp.Or(d.Type, "DeadLetter"), Topic: messages.DeadLetters(d.Service),
		Payload: d.Payload, Headers: copyHeaders(d, id), CreatedAt: u.now,
	})
}

// copyHeaders gives the copy in <service>.dlq the record's own headers and, prefixed with
// "deadletter-", where it was read, who refused it, and why.
func copyHeaders(d messages.DeadLetter, id string) map[string]string {
	h := make(map[string]string, len(d.Headers)+16)
	for name, value := range d.Headers {
		h[name] = value
	}
	h["eventId"] = id
	h["correlationId"] = d.OrderID
	h["deadletter-id"] = d.ID
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
