package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/app/deadletters"
	"millrace/app/messages"
)

// underWay is for how long an order that an apply has in hand is kept from others: by then whoever waited
// for an outcome has gone.
const underWay = 10 * time.Minute

// errInHand: another plan acts on the order.
var errInHand = errors.New("another plan has it in hand")

// takeInHand takes an order for a plan, in the transaction of its act or before it. It fails with errInHand
// while another plan has it. Of two that come at once one waits for the other's transaction, and then sees its
// row. It is for ordering's database alone: there acts on sagas and on dead letters of all services meet.
func (u *unit) takeInHand(orderID, plan string) error {
	n, err := u.change(`INSERT INTO order_claims (order_id, plan, at) VALUES (?, ?, ?)
		ON CONFLICT (order_id) DO UPDATE SET plan = excluded.plan, at = excluded.at
			WHERE order_claims.plan = excluded.plan OR order_claims.at <= ?`, orderID, plan, u.now, u.now.Add(-underWay))
	if err != nil {
		return fmt.Errorf("take %s in hand: %w", orderID, err)
	}
	if n == 0 {
		return errInHand
	}
	return nil
}

// Take takes an order in hand for the plan of an act; see deadletters.Store.
func (l *Letters) Take(ctx context.Context, orderID string, by deadletters.Act) error {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return err
	}
	err = ordering.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error { return u.takeInHand(orderID, by.Plan) })
	if errors.Is(err, errInHand) {
		return deadletters.ErrInHand
	}
	return err
}

// LetGo lets an order go that the plan of an act has in hand.
func (l *Letters) LetGo(ctx context.Context, orderID string, by deadletters.Act) error {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return err
	}
	return ordering.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		_, err := u.change("DELETE FROM order_claims WHERE order_id = ? AND plan = ?", orderID, by.Plan)
		return err
	})
}

// letGoOf lets the order of an act on a saga go, with the act's outcome.
func letGoOf(actID string) func(*unit) error {
	return func(u *unit) error {
		_, err := u.change("DELETE FROM order_claims WHERE (order_id, plan) IN (SELECT order_id, plan FROM ops_audit WHERE id = ? AND line = 1)", actID)
		return err
	}
}
