package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/notification"
	"millrace/domain/intent"
)

var (
	noticeRow = insert("notices",
		"order_id text, user_id text, status text, total bigint, currency text, reason text, created_at timestamptz",
		"ON CONFLICT (order_id) DO NOTHING")
	noticeSent = update("notices", "sent_at = v.sent_at", "notices.order_id = v.order_id", "order_id text, sent_at timestamptz").last()
)

// Notifications is the notification service's state.
type Notifications struct {
	core    *Core
	intents *Intents
}

// NewNotifications makes the store.
func NewNotifications(core *Core, intents *Intents) *Notifications {
	return &Notifications{core, intents}
}

// Do runs fn in one transaction; see app/notification.Work.
func (s *Notifications) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&notificationTx{u, s.intents}) })
}

// Notice reads one notice.
func (s *Notifications) Notice(ctx context.Context, orderID string) (app.Notice, error) {
	var rows []struct {
		UserID   string    `db:"user_id"`
		Status   string    `db:"status"`
		Total    int64     `db:"total"`
		Currency string    `db:"currency"`
		Reason   string    `db:"reason"`
		At       time.Time `db:"created_at"`
	}
	db := s.core.DB.Read
	const query = "SELECT user_id, status, total, currency, reason, created_at FROM notices WHERE order_id = ?"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), orderID); err != nil {
		return app.Notice{}, fmt.Errorf("read notice: %w", sqldb.Classify(err))
	}
	if len(rows) == 0 {
		return app.Notice{}, notFound("notice", orderID)
	}
	r := rows[0]
	return app.Notice{
		OrderID: orderID, UserID: r.UserID, Status: r.Status, Total: r.Total, Currency: r.Currency, Reason: r.Reason, At: r.At,
	}, nil
}

// Address gives a customer's address, or "".
func (s *Notifications) Address(ctx context.Context, userID string) (string, error) {
	var found []string
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &found, db.Rebind("SELECT email FROM customers WHERE user_id = ?"), userID); err != nil {
		return "", fmt.Errorf("read address: %w", sqldb.Classify(err))
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}

type notificationTx struct {
	*unit
	intents *Intents
}

func (t *notificationTx) Keep(n app.Notice) {
	t.stage(noticeRow, n.OrderID, n.UserID, n.Status, n.Total, n.Currency, n.Reason, n.At.UTC().Truncate(time.Microsecond))
}

func (t *notificationTx) Sent(orderID string) { t.stage(noticeSent, orderID, t.now) }

func (t *notificationTx) Intend(in intent.Intent) { t.intend(t.intents, in) }

func (t *notificationTx) Settle(in intent.Intent) { t.settle(in) }
