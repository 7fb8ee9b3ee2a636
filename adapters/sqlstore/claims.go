package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
)

const (
	// underWay is for how long an order that an apply has in hand is kept from others when nothing is heard of
	// that apply any more: it has died.
	underWay = 10 * time.Minute
	// renewal is the age at which an apply that is alive has its orders for another underWay. A few renewals may
	// fail, or a turn of an apply take long, and it loses none.
	renewal = underWay / 5
)

// errInHand: another plan acts on the order. What is wrapped around it names the plan.
var errInHand = errors.New("in hand")

// taken says which plan has an order in hand, and what to do.
type taken struct{ plan string }

func (t taken) Error() string {
	return fmt.Sprintf("plan %s: wait until its apply has ended, or apply that plan again", t.plan)
}

func (taken) Is(target error) bool { return target == errInHand }

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
	if n > 0 {
		return nil
	}
	var plans []string
	if err := u.tx.SelectContext(u.batch.ctx, &plans, "SELECT plan FROM order_claims WHERE order_id = ?", orderID); err != nil {
		return fmt.Errorf("ask who has %s in hand: %w", orderID, err)
	}
	if len(plans) == 0 {
		return taken{"unknown, for it has just let it go"}
	}
	return taken{plans[0]}
}

// claimRecord is a row of order_claims.
type claimRecord struct {
	OrderID string    `db:"order_id"`
	Plan    string    `db:"plan"`
	At      time.Time `db:"at"`
}

// hold gives the orders that a plan has in hand, and keeps them so: those whose claim grows old are claimed anew,
// a lapsed one too where nobody has taken it over. What others have let lapse is deleted. It writes only where there
// is something to be written, so an apply may call it at every look.
func (c *Core) hold(ctx context.Context, plan string) ([]string, error) {
	now := c.Now().UTC().Truncate(time.Microsecond)
	old, lapsed := now.Add(-renewal), now.Add(-underWay)
	var rows []claimRecord
	query := "SELECT order_id, plan, at FROM order_claims WHERE plan = ? OR at <= ?"
	if err := c.DB.Read.SelectContext(ctx, &rows, c.DB.Rebind(query), plan, lapsed); err != nil {
		return nil, fmt.Errorf("look what the plan has in hand: %w", sqldb.Classify(err))
	}
	var orders []string
	stale := false
	for _, r := range rows {
		stale = stale || !r.At.After(old)
		if r.Plan == plan {
			orders = append(orders, r.OrderID)
		}
	}
	if !stale {
		return orders, nil
	}
	err := c.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		// Nobody waits for another here, for two applies may do this at once: a row that somebody else holds is
		// left to them, or to the next look.
		free := " ORDER BY order_id" + u.core.DB.Dialect.SkipLocked()
		if _, err := u.change(`UPDATE order_claims SET at = ? WHERE plan = ? AND order_id IN
			(SELECT order_id FROM order_claims WHERE plan = ? AND at <= ?`+free+")", u.now, plan, plan, old); err != nil {
			return err
		}
		_, err := u.change(`DELETE FROM order_claims WHERE order_id IN
			(SELECT order_id FROM order_claims WHERE at <= ?`+free+")", lapsed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep what the plan has in hand: %w", err)
	}
	return orders, nil
}

// Hold keeps the orders that a plan of acts on sagas has in hand.
func (o *Operator) Hold(ctx context.Context, seal string) error {
	_, err := o.ordering.hold(ctx, seal)
	return err
}

// Hold keeps the orders that the plan of an act has in hand, and gives them; see deadletters.Store.
func (l *Letters) Hold(ctx context.Context, by deadletters.Act) ([]string, error) {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return nil, err
	}
	return ordering.hold(ctx, by.Plan)
}

// Take takes an order in hand for the plan of an act; see deadletters.Store.
func (l *Letters) Take(ctx context.Context, orderID string, by deadletters.Act) error {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return err
	}
	err = ordering.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error { return u.takeInHand(orderID, by.Plan) })
	if errors.Is(err, errInHand) {
		return deadletters.ErrInHand.Because(err)
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
