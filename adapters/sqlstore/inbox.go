package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"millrace/adapters/sqldb"
	"millrace/domain/fault"
)

// verdict is what the inbox says to a message that a consumer wants to handle.
type verdict int

const (
	isClaimed verdict = iota // its row is written: the message is to be handled
	isDone                   // it was handled before
	isLeft                   // it is a dead letter, or parked: it came again, and a redrive will handle it
	isParked                 // its row is written: the message waits behind a dead letter of its order
)

var (
	// inboxClaim claims messages whose orders are not held, and tells which. In nearly every case
	// held_orders is empty, and looking there costs nothing.
	inboxClaim = &table{
		name: "inbox", phase: inserts, derived: true, returning: 2,
		columns: parse("consumer text, message_id text, order_id text, handled_at timestamptz"),
		head:    "INSERT INTO inbox (consumer, message_id, outcome, handled_at) SELECT v.consumer, v.message_id, 'done', v.handled_at FROM ",
		tail: ` WHERE NOT EXISTS (SELECT 1 FROM held_orders h WHERE h.consumer = v.consumer AND h.order_id = v.order_id)
			ON CONFLICT DO NOTHING RETURNING consumer, message_id`,
	}
	inboxRow = insert("inbox", "consumer text, message_id text, outcome text, handled_at timestamptz", "ON CONFLICT DO NOTHING")
	// inboxOver gives a message that was dead or parked another outcome; one that was handled keeps its own.
	inboxOver = insert("inbox", "consumer text, message_id text, outcome text, handled_at timestamptz",
		`ON CONFLICT (consumer, message_id) DO UPDATE SET outcome = excluded.outcome, handled_at = excluded.handled_at
			WHERE inbox.outcome <> 'done'`)
	inboxGone = remove("inbox", "consumer text, message_id text")
)

// ErrHeld: the order waits behind a dead letter, and this work is not a record that could be parked.
var ErrHeld = fault.New(fault.Unavailable, "order_held", "the order waits behind a dead letter of the same consumer")

// errDuplicate: the message was handled before.
var errDuplicate = errors.New("the message was handled before")

// claim asks the inbox about all members and gives those that are to be run: not those whose
// messages were handled before, and not those that have to wait. It is one round trip, unless one of
// them was handled before or has to wait.
//
// An order is held from the commit of its first dead letter to that of the last message behind it.
// Whether a message waits is decided under the lock of the order's row in held_orders, which the
// end of a redrive holds too when it looks for those that wait: so none is forgotten, and none
// overtakes.
func (b *batch) claim(members []*member) ([]*member, error) {
	if len(members) == 1 && members[0].special() {
		return b.claimSpecial(members[0])
	}
	results, err := b.claimNew(members)
	if err != nil {
		return nil, err
	}
	if results == nil {
		return members, nil // nobody has a message
	}
	won := make(map[[2]string]bool, len(members))
	for _, r := range results {
		for _, row := range r.Returned {
			won[[2]string{row[0], row[1]}] = true
		}
	}
	fresh := make([]*member, 0, len(members))
	for _, m := range members {
		if m.inbox() && !won[[2]string{m.cause.Consumer, m.cause.MessageID}] {
			run, err := b.contest(m)
			if err != nil {
				return nil, fmt.Errorf("inbox: %w", err)
			}
			if !run {
				continue
			}
		}
		fresh = append(fresh, m)
	}
	return fresh, nil
}

// claimNew claims the messages that have no inbox row and whose orders are not held, and returns their consumers
// and ids; nothing where nobody has a message. A message that somebody else is handling is waited for; rows are
// written in order, so that two transactions never wait for each other in a circle.
//
// What the members prefetch is read in the same round trip, behind the locks of those orders that are held: a
// redrive has that lock first, too, and what it has made of an order is seen by who waited for it.
func (b *batch) claimNew(members []*member) ([]sqldb.Result, error) {
	inOrder := slices.SortedFunc(slices.Values(members), func(x, y *member) int {
		return cmp.Or(cmp.Compare(x.cause.Consumer, y.cause.Consumer), cmp.Compare(x.cause.MessageID, y.cause.MessageID))
	})
	var rows [][]any
	for _, m := range inOrder {
		if m.inbox() {
			for _, p := range m.prefetch {
				p.request(b, m.cause.CorrelationID)
			}
			rows = append(rows, []any{m.cause.Consumer, m.cause.MessageID, m.cause.CorrelationID, b.now})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return b.load(append(inboxClaim.statements(b.core.DB.Dialect, rows), b.heldLock(inOrder)...)...)
}

// heldLock locks the orders of the members that are held at their consumers, mostly none. SQLite has one writer,
// which is lock enough.
func (b *batch) heldLock(members []*member) []sqldb.Statement {
	if b.core.DB.Dialect == sqldb.SQLite {
		return nil
	}
	var consumers, orders []string
	for _, m := range members {
		if m.inbox() {
			consumers, orders = append(consumers, m.cause.Consumer), append(orders, m.cause.CorrelationID)
		}
	}
	return []sqldb.Statement{{
		Query: `SELECT FROM held_orders WHERE (consumer, order_id) IN (SELECT * FROM unnest(?::text[], ?::text[]))
			ORDER BY consumer, order_id FOR UPDATE`,
		Args: []any{consumers, orders},
	}}
}

// contest claims a message that has a row already, or whose order is held. It says whether the
// member is to be run.
func (b *batch) contest(m *member) (bool, error) {
	verdict, position, err := b.judge(m)
	if err != nil {
		return false, err
	}
	switch verdict {
	case isDone, isLeft:
		m.duplicate, m.left = true, verdict == isLeft
	case isParked:
		b.park(m, position)
	}
	return verdict == isClaimed, nil
}

func (b *batch) judge(m *member) (v verdict, position int, err error) {
	if v, known, err := b.outcome(m); err != nil || known {
		return v, 0, err
	}
	position, held, err := b.queueUp(m)
	if err != nil {
		return v, 0, err
	}
	v, outcome := isClaimed, "done"
	if held {
		v, outcome = isParked, "parked"
	}
	n, err := b.unitOf(m).writeNow(inboxRow, []any{m.cause.Consumer, m.cause.MessageID, outcome, b.now})
	if err != nil {
		return v, 0, err
	}
	if n == 0 { // somebody else was faster
		v, _, err = b.outcome(m)
	}
	return v, position, err
}

// outcome gives what the inbox says of a message; false when it knows nothing.
func (b *batch) outcome(m *member) (verdict, bool, error) {
	var outcomes []string
	err := b.rows(&outcomes, "SELECT outcome FROM inbox WHERE consumer = ? AND message_id = ?", m.cause.Consumer, m.cause.MessageID)
	if err != nil || len(outcomes) == 0 {
		return isClaimed, false, err
	}
	if outcomes[0] == "done" {
		return isDone, true, nil
	}
	return isLeft, true, nil
}

// queueUp locks the order's row and gives the next place behind its dead letter; false when the
// order is not held, or not any more.
func (b *batch) queueUp(m *member) (position int, held bool, err error) {
	var lengths []int
	const query = "UPDATE held_orders SET length = length + 1 WHERE consumer = ? AND order_id = ? RETURNING length"
	if err := b.rows(&lengths, query, m.cause.Consumer, m.cause.CorrelationID); err != nil || len(lengths) == 0 {
		return 0, false, err
	}
	return lengths[0], true, nil
}

// park stages the message to be handled when what is in front of it has been.
func (b *batch) park(m *member, position int) {
	if m.cause.Delivery == nil {
		m.err = ErrHeld
		b.unclaim = append(b.unclaim, m)
		return
	}
	d := m.cause.Delivery.Letter()
	d.Reason, d.Error, d.Attempts = "", "", 0
	u := b.unitOf(m)
	u.stageLetter(d, "parked", position)
	b.merge(u)
	m.parked = true
	b.succeeded = append(b.succeeded, m)
}

// claimSpecial claims what a message that was sent again, or a person's word, needs.
func (b *batch) claimSpecial(m *member) ([]*member, error) {
	u := b.unitOf(m)
	err := u.claimRuling()
	if m.cause.Redrive != nil {
		err = u.claimRedriven(*m.cause.Redrive)
	}
	if errors.Is(err, errDuplicate) {
		m.duplicate, m.left = true, true // a copy that comes too late says nothing about whether it was handled
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m.ruled = u.ruled
	b.merge(u)
	return []*member{m}, nil
}
