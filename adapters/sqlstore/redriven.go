package sqlstore

import (
	"cmp"
	"encoding/json"
	"fmt"

	"millrace/adapters/outbox"
	"millrace/app/messages"
)

// open are the states in which a letter keeps its place in its order's sequence. The text is that of
// the partial index.
const open = "state IN ('waiting', 'parked', 'redriving')"

// hold makes the order wait at the consumer, or locks it when it does so already, and gives the next
// place in its sequence.
func (u *unit) hold(consumer, orderID string) (int, error) {
	if orderID == "" {
		return 0, nil
	}
	var lengths []int
	query := `INSERT INTO held_orders (consumer, order_id, length) VALUES (?, ?, 1)
		ON CONFLICT (consumer, order_id) DO UPDATE SET length = held_orders.length + 1 RETURNING length`
	if err := u.tx.SelectContext(u.batch.ctx, &lengths, query, consumer, orderID); err != nil {
		return 0, err
	}
	return lengths[0], nil
}

// lockOrder takes the lock under which the order's sequence is moved on. Without an order there is
// no sequence.
func (u *unit) lockOrder(consumer, orderID string) error {
	if orderID == "" {
		return nil
	}
	var lengths []int
	query := "SELECT length FROM held_orders WHERE consumer = ? AND order_id = ?" + u.core.DB.Dialect.ForUpdate()
	return u.tx.SelectContext(u.batch.ctx, &lengths, query, consumer, orderID)
}

// claimRedriven claims the inbox row of a message that was sent again back for it. A letter that has
// moved on since it was sent, or that somebody else has handled, makes it a duplicate.
func (u *unit) claimRedriven(r messages.Redrive) error {
	if err := u.lockOrder(u.cause.Consumer, u.cause.CorrelationID); err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	moved, err := u.change(`UPDATE dead_letters SET state = 'done', version = version + 1
		WHERE id = ? AND version = ? AND state = 'redriving' AND consumer = ? AND message_id = ?`,
		r.LetterID, r.Version, u.cause.Consumer, u.cause.MessageID)
	if err != nil || moved == 0 {
		return cmp.Or(err, errDuplicate)
	}
	n, err := u.writeNow(inboxOver, []any{u.cause.Consumer, u.cause.MessageID, "done", u.now})
	if err != nil || n == 0 {
		return cmp.Or(err, errDuplicate)
	}
	u.log(r.LetterID, r.Version+1, "took effect", "", "")
	return nil
}

// conclude moves the order's sequence on when a message that was sent again has been handled, in the
// same transaction: what waits behind it cannot be forgotten.
func (u *unit) conclude() error {
	if u.cause.Consumer == "" || u.cause.Redrive == nil {
		return nil
	}
	return u.advance(u.cause.Consumer, u.cause.CorrelationID)
}

// advance sends the next parked message of the order, stops at the next dead letter, and lets the
// order go when nothing waits any more. The caller has the order's lock.
func (u *unit) advance(consumer, orderID string) error {
	if orderID == "" {
		return nil
	}
	next, err := u.front(consumer, orderID)
	if err != nil {
		return err
	}
	switch {
	case next == nil:
		_, err = u.change("DELETE FROM held_orders WHERE consumer = ? AND order_id = ?", consumer, orderID)
		return err
	case next.State == "parked":
		return u.send(next, "its turn", "", "")
	}
	return nil
}

// front is the first letter of an order's sequence that is not over; nil when there is none.
func (u *unit) front(consumer, orderID string) (*letterRecord, error) {
	var rows []letterRecord
	query := letterColumns + " WHERE consumer = ? AND order_id = ? AND " + open + " ORDER BY position, first_at, id LIMIT 1"
	if err := u.tx.SelectContext(u.batch.ctx, &rows, query, consumer, orderID); err != nil {
		return nil, fmt.Errorf("read the sequence of %s: %w", orderID, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return &rows[0], nil
}

// send puts a letter on its way to <service>.redrive. The caller has its order's lock.
func (u *unit) send(l *letterRecord, act, actor, reason string) error {
	if l.State != "parked" {
		l.Redrives++
	}
	l.Version++
	if _, err := u.change("UPDATE dead_letters SET state = 'redriving', version = ?, redrives = ? WHERE id = ?",
		l.Version, l.Redrives, l.ID); err != nil {
		return err
	}
	l.State = "redriving"
	u.log(l.ID, l.Version, act, actor, reason)
	headers := map[string]string{}
	if err := json.Unmarshal([]byte(l.Headers), &headers); err != nil {
		return fmt.Errorf("headers of dead letter %s: %w", l.ID, err)
	}
	headers["correlationId"] = l.OrderID // the key
	messages.Redrive{
		LetterID: l.ID, Version: l.Version, Count: l.Redrives, Consumer: l.Consumer, Handler: l.Handler, MessageID: l.MessageID,
		Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Key: l.Key,
	}.Stamp(headers)
	u.out = append(u.out, outbox.Record{
		ID: messages.DerivedID(l.ID, "redrive", l.Version), AggregateID: cmp.Or(l.OrderID, l.ID), EventType: cmp.Or(l.Type, "DeadLetter"),
		Topic: messages.RedriveTopic(l.Service), Payload: l.Payload, Headers: headers, CreatedAt: u.now,
	})
	return nil
}

// log stages a line of the letter's history.
func (u *unit) log(letterID string, version int, act, actor, reason string) {
	u.stage(letterLog, letterID, version, u.now, act, actor, reason)
}

// change runs one statement and gives how many rows it changed.
func (u *unit) change(query string, args ...any) (int64, error) {
	result, err := u.tx.ExecContext(u.batch.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
