package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/plan"
)

// An apply of a plan leases the orders that it acts on. A lease is a row of order_claims in ordering's database: there
// acts on sagas and on dead letters of all services meet, so that one plan at a time acts on an order, whatever it acts on.

const (
	// orderLease is how long the lease of an order runs from when it was acquired or renewed last. An apply that is not
	// heard of for so long has died.
	orderLease = 10 * time.Minute
	// renewAfter is the age at which an apply that is alive renews a lease. A few renewals may fail, or a turn of an
	// apply take long, and it loses none.
	renewAfter = orderLease / 5
)

// errLeaseHeld: another plan has the lease of the order. A leaseHeld is one, and names the plan.
var errLeaseHeld = errors.New("the lease is held")

// leaseHeld says which plan has the lease of an order, and what to do.
type leaseHeld struct{ plan string }

func (l leaseHeld) Error() string {
	return fmt.Sprintf("plan %s: wait until its apply has ended, or apply that plan again", l.plan)
}

func (leaseHeld) Is(target error) bool { return target == errLeaseHeld }

// acquireLease acquires the lease of an order for a plan, in the transaction of its act or before it. It fails with
// errLeaseHeld while another plan has it. Of two that come at once one waits for the other's transaction, and then
// sees its row.
func (u *unit) acquireLease(orderID, plan string) error {
	n, err := u.change(`INSERT INTO order_claims (order_id, plan, at) VALUES (?, ?, ?)
		ON CONFLICT (order_id) DO UPDATE SET plan = excluded.plan, at = excluded.at
			WHERE order_claims.plan = excluded.plan OR order_claims.at <= ?`, orderID, plan, u.now, u.now.Add(-orderLease))
	if err != nil {
		return fmt.Errorf("acquire the lease of %s: %w", orderID, err)
	}
	if n > 0 {
		return nil
	}
	var plans []string
	if err := u.tx.SelectContext(u.batch.ctx, &plans, "SELECT plan FROM order_claims WHERE order_id = ?", orderID); err != nil {
		return fmt.Errorf("ask who has the lease of %s: %w", orderID, err)
	}
	if len(plans) == 0 {
		return leaseHeld{"unknown, for it has just released it"}
	}
	return leaseHeld{plans[0]}
}

// leaseRecord is a row of order_claims.
type leaseRecord struct {
	OrderID string    `db:"order_id"`
	Plan    string    `db:"plan"`
	At      time.Time `db:"at"`
}

// renewLeases renews the leases of a plan that grow old, a lapsed one too where nobody has taken it over, and gives the
// orders of all that it has. What others have let lapse is deleted. It writes only where there is something to be
// written, so an apply may call it at every look.
func (c *Core) renewLeases(ctx context.Context, plan string) ([]string, error) {
	now := c.Now().UTC().Truncate(time.Microsecond)
	old, lapsed := now.Add(-renewAfter), now.Add(-orderLease)
	var rows []leaseRecord
	query := "SELECT order_id, plan, at FROM order_claims WHERE plan = ? OR at <= ?"
	if err := c.DB.Read.SelectContext(ctx, &rows, c.DB.Rebind(query), plan, lapsed); err != nil {
		return nil, fmt.Errorf("look which leases the plan has: %w", sqldb.Classify(err))
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
		return nil, fmt.Errorf("renew the leases of the plan: %w", err)
	}
	return orders, nil
}

// RenewLeases renews the leases of a plan of acts on sagas; see operator.Store.
func (o *Operator) RenewLeases(ctx context.Context, seal string) error {
	_, err := o.ordering.renewLeases(ctx, seal)
	return err
}

// RenewLeases renews the leases that the plan of an act has, and gives their orders; see deadletters.Store.
func (l *Letters) RenewLeases(ctx context.Context, by plan.Attribution) ([]string, error) {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return nil, err
	}
	return ordering.renewLeases(ctx, by.Plan)
}

// AcquireLease acquires the lease of an order for the plan of an act; see deadletters.Store.
func (l *Letters) AcquireLease(ctx context.Context, orderID string, by plan.Attribution) error {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return err
	}
	err = ordering.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error { return u.acquireLease(orderID, by.Plan) })
	if errors.Is(err, errLeaseHeld) {
		return deadletters.ErrLeaseHeld.Because(err)
	}
	return err
}

// ReleaseLease releases the lease of an order that the plan of an act has; see deadletters.Store.
func (l *Letters) ReleaseLease(ctx context.Context, orderID string, by plan.Attribution) error {
	ordering, err := l.core(messages.Orchestrator)
	if err != nil {
		return err
	}
	return ordering.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		_, err := u.change("DELETE FROM order_claims WHERE order_id = ? AND plan = ?", orderID, by.Plan)
		return err
	})
}

// releaseLeaseOf releases the lease of the order of an act on a saga, with the act's outcome.
func releaseLeaseOf(actID string) func(*unit) error {
	return func(u *unit) error {
		_, err := u.change("DELETE FROM order_claims WHERE (order_id, plan) IN (SELECT order_id, plan FROM ops_audit WHERE id = ? AND line = 1)", actID)
		return err
	}
}
