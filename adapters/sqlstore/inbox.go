package sqlstore

import (
	"fmt"

	"millrace/domain/fault"
)

// claim is one message of one order that a consumer wants to handle. An empty orderID is of no order.
type claim struct{ consumer, messageID, orderID string }

// verdict is what the inbox says to a claim.
type verdict int

const (
	isClaimed verdict = iota // its row is written: the message is to be handled
	isDone                   // it was handled before
	isLeft                   // it is a dead letter, or parked: it came again, and a redrive will handle it
	isParked                 // its row is written: the message waits behind a dead letter of its order
)

// answer is the verdict on a claim, and where a message that is parked stands.
type answer struct {
	verdict  verdict
	position int
}

var (
	// inboxClaim claims messages whose orders are not held, any number of them with one statement. In
	// nearly every case held_orders is empty, and looking there costs nothing.
	inboxClaim = &table{
		name:   "inbox",
		before: "INSERT INTO inbox (consumer, message_id, outcome, handled_at) SELECT v.column1, v.column2, 'done', v.column4 FROM (VALUES ",
		row:    []string{"CAST(? AS TEXT)", "CAST(? AS TEXT)", "CAST(? AS TEXT)", "CAST(? AS TIMESTAMPTZ)"},
		after: `) AS v WHERE NOT EXISTS (SELECT 1 FROM held_orders h WHERE h.consumer = v.column1 AND h.order_id = v.column3)
			ON CONFLICT DO NOTHING RETURNING consumer, message_id`,
	}
	inboxRow = insert("inbox", "consumer, message_id, outcome, handled_at", "ON CONFLICT DO NOTHING")
	// inboxOver gives a message that was dead or parked another outcome; one that was handled keeps its own.
	inboxOver = insert("inbox", "consumer, message_id, outcome, handled_at",
		`ON CONFLICT (consumer, message_id) DO UPDATE SET outcome = excluded.outcome, handled_at = excluded.handled_at
			WHERE inbox.outcome <> 'done'`)
)

// claims asks the inbox about a set of messages: one statement, unless one of them was handled
// before or has to wait. A message that somebody else is handling is waited for.
//
// An order is held from the commit of its first dead letter to that of the last message behind it.
// Whether a message waits is decided under the lock of the order's row in held_orders, which the
// end of a redrive holds too when it looks for those that wait: so none is forgotten, and none
// overtakes.
func (u *unit) claims(asked []claim) ([]answer, error) {
	rows := make([][]any, len(asked))
	for i, c := range asked {
		rows[i] = []any{c.consumer, c.messageID, c.orderID, u.now}
	}
	won := make(map[[2]string]bool, len(asked))
	for _, s := range inboxClaim.statements(u.core.DB.Dialect, rows) {
		var keys []struct {
			Consumer  string `db:"consumer"`
			MessageID string `db:"message_id"`
		}
		if err := u.tx.SelectContext(u.ctx, &keys, u.tx.Rebind(s.Query), s.Args...); err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
		for _, k := range keys {
			won[[2]string{k.Consumer, k.MessageID}] = true
		}
	}
	answers := make([]answer, len(asked))
	for i, c := range asked {
		key := [2]string{c.consumer, c.messageID}
		if won[key] {
			delete(won, key) // the same message twice in one set: the second has been handled before
			continue
		}
		var err error
		if answers[i], err = u.contested(c); err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
	}
	return answers, nil
}

// contested claims a message that has a row already, or whose order is held.
func (u *unit) contested(c claim) (answer, error) {
	if a, known, err := u.known(c); err != nil || known {
		return a, err
	}
	position, held, err := u.queueUp(c.consumer, c.orderID)
	if err != nil {
		return answer{}, err
	}
	a, outcome := answer{verdict: isClaimed}, "done"
	if held {
		a, outcome = answer{isParked, position}, "parked"
	}
	n, err := inboxRow.write(u, [][]any{{c.consumer, c.messageID, outcome, u.now}})
	if err != nil {
		return answer{}, err
	}
	if n == 0 { // somebody else was faster
		a, _, err = u.known(c)
	}
	return a, err
}

func (u *unit) known(c claim) (answer, bool, error) {
	var outcomes []string
	query := u.tx.Rebind("SELECT outcome FROM inbox WHERE consumer = ? AND message_id = ?")
	if err := u.tx.SelectContext(u.ctx, &outcomes, query, c.consumer, c.messageID); err != nil || len(outcomes) == 0 {
		return answer{}, false, err
	}
	if outcomes[0] == "done" {
		return answer{verdict: isDone}, true, nil
	}
	return answer{verdict: isLeft}, true, nil
}

// queueUp locks the order's row and gives the next place behind its dead letter; false when the
// order is not held, or not any more.
func (u *unit) queueUp(consumer, orderID string) (position int, held bool, err error) {
	var lengths []int
	query := u.tx.Rebind("UPDATE held_orders SET length = length + 1 WHERE consumer = ? AND order_id = ? RETURNING length")
	if err := u.tx.SelectContext(u.ctx, &lengths, query, consumer, orderID); err != nil || len(lengths) == 0 {
		return 0, false, err
	}
	return lengths[0], true, nil
}

// ErrHeld: the order waits behind a dead letter, and this work is not a record that could be parked.
var ErrHeld = fault.New(fault.Unavailable, "order_held", "the order waits behind a dead letter of the same consumer")

// claim decides whether fn is run: not for a message that was handled before (errDuplicate), and not
// for one that has to wait (u.parked).
func (u *unit) claim() error {
	switch {
	case u.cause.Consumer == "":
		return u.claimRuling()
	case u.cause.Redrive != nil:
		return u.claimRedriven(*u.cause.Redrive)
	}
	answers, err := u.claims([]claim{{u.cause.Consumer, u.cause.MessageID, u.cause.CorrelationID}})
	if err != nil {
		return err
	}
	switch answers[0].verdict {
	case isDone:
		return errDuplicate
	case isLeft:
		u.left = true
		return errDuplicate
	case isParked:
		return u.park(answers[0].position)
	}
	return nil
}

// park stages the message to be handled when what is in front of it has been.
func (u *unit) park(position int) error {
	if u.cause.Delivery == nil {
		return ErrHeld
	}
	d := u.cause.Delivery.Letter()
	d.Reason, d.Error, d.Attempts = "", "", 0
	u.parked = true
	u.stageLetter(d, "parked", position)
	return nil
}
