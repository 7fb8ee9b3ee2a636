package sqlstore

import (
	"cmp"
	"context"
	"fmt"

	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/plan"
)

// What an operator does to a letter, each in one transaction under the lock of its order's sequence.

// Redrive sends a letter again, or lets an act that was refused be tried again.
func (l *Letters) Redrive(ctx context.Context, item deadletters.Item, by plan.Attribution) error {
	return l.with(ctx, item, func(u *unit, r *letterRecord) error {
		if r.State != deadletters.Waiting && r.State != deadletters.Redriving {
			return deadletters.ErrChanged
		}
		u.recordLetter(r, deadletters.ActRedrive, by)
		if !r.ofIntent() {
			return u.send(r, "redrive", by.Actor, by.Reason)
		}
		n, err := u.change("UPDATE intents SET state = 'open', version = version + 1, due_at = "+u.core.DB.Dialect.Now()+
			" WHERE id = ? AND state IN ('open', 'dead')", r.MessageID)
		if err != nil || n == 0 {
			return cmp.Or(err, error(deadletters.ErrChanged))
		}
		return u.end(r, deadletters.Redriving, 1, "redrive", by)
	})
}

// Discard ends a letter without effect, and lets go what waits behind it.
func (l *Letters) Discard(ctx context.Context, item deadletters.Item, by plan.Attribution) error {
	return l.with(ctx, item, func(u *unit, r *letterRecord) error {
		if r.State != deadletters.Waiting {
			return deadletters.ErrChanged
		}
		u.recordLetter(r, deadletters.ActDiscard, by)
		if err := u.end(r, deadletters.Discarded, 0, "discard", by); err != nil {
			return err
		}
		if !r.ofIntent() {
			return u.advance(r.Consumer, r.OrderID)
		}
		_, err := u.change("UPDATE intents SET state = 'discarded', version = version + 1 WHERE id = ? AND state = 'dead'", r.MessageID)
		return err
	})
}

// end gives a letter its next state.
func (u *unit) end(r *letterRecord, state string, redrives int, act string, by plan.Attribution) error {
	u.log(r.ID, r.Version+1, act, by.Actor, by.Reason)
	_, err := u.change("UPDATE dead_letters SET state = ?, version = version + 1, redrives = redrives + ? WHERE id = ?", state, redrives, r.ID)
	return err
}

// with runs fn on a letter that is as planned and in front of its order's sequence, under the order's lock.
func (l *Letters) with(ctx context.Context, item deadletters.Item, fn func(*unit, *letterRecord) error) error {
	core, err := l.core(item.Service)
	if err != nil {
		return err
	}
	return core.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		r, err := u.planned(item)
		if err != nil {
			return err
		}
		return fn(u, r)
	})
}

// planned locks the order and then the letter. It fails with ErrChanged and ErrBehind.
func (u *unit) planned(item deadletters.Item) (*letterRecord, error) {
	if err := u.lockOrder(item.Consumer, item.OrderID); err != nil {
		return nil, err
	}
	var rows []letterRecord
	query := letterColumns + " WHERE id = ?" + u.core.DB.Dialect.ForUpdate()
	if err := u.tx.SelectContext(u.batch.ctx, &rows, query, item.ID); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, deadletters.ErrNoLetter
	}
	r := rows[0]
	if r.Version != item.Version || r.Consumer != item.Consumer || r.OrderID != item.OrderID {
		return nil, deadletters.ErrChanged
	}
	if r.OrderID == "" || r.ofIntent() {
		return &r, nil
	}
	front, err := u.front(r.Consumer, r.OrderID)
	if err != nil {
		return nil, err
	}
	if front != nil && front.ID != r.ID {
		return nil, deadletters.ErrBehind.Because(fmt.Errorf("%s, which is %s", front.ID, front.State))
	}
	return &r, nil
}
