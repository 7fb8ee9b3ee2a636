package sqlstore

import (
	"context"
	"time"

	app "millrace/app/notification"
	"millrace/domain/intent"
)

var (
	noticeRow = insert("notices",
		"order_id text, user_id text, status text, total bigint, currency text, reason text, created_at timestamptz",
		"ON CONFLICT (order_id) DO NOTHING")
	noticeSent = update("notices", "sent_at = v.sent_at", "notices.order_id = v.order_id", "order_id text, sent_at timestamptz").lastPerKey()
)

// Notifications is the notification service's state.
type Notifications struct {
	core      *Core
	intents   *Intents
	notices   lookup[string, app.Notice]
	addresses lookup[string, string]
}

// NewNotifications makes the store.
func NewNotifications(core *Core, intents *Intents) *Notifications {
	s := &Notifications{core: core, intents: intents}
	s.notices.read, s.addresses.read = s.readNotices, s.readAddresses
	return s
}

// Do runs fn in one transaction; see app/notification.Work.
func (s *Notifications) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&notificationTx{u, s.intents}) })
}

// Notice reads one notice.
func (s *Notifications) Notice(ctx context.Context, orderID string) (app.Notice, error) {
	notice, found, err := s.notices.get(ctx, orderID)
	if err == nil && !found {
		err = notFound("notice", orderID)
	}
	return notice, err
}

func (s *Notifications) readNotices(ctx context.Context, orderIDs []string) (map[string]app.Notice, error) {
	type record struct {
		OrderID  string    `db:"order_id"`
		UserID   string    `db:"user_id"`
		Status   string    `db:"status"`
		Total    int64     `db:"total"`
		Currency string    `db:"currency"`
		Reason   string    `db:"reason"`
		At       time.Time `db:"created_at"`
	}
	const columns = "SELECT order_id, user_id, status, total, currency, reason, created_at FROM notices"
	rows, err := selectByKeys[record](ctx, s.core.DB, columns, "order_id", orderIDs)
	found := make(map[string]app.Notice, len(rows))
	for _, r := range rows {
		found[r.OrderID] = app.Notice(r)
	}
	return found, err
}

// Address gives a customer's address, or "".
func (s *Notifications) Address(ctx context.Context, userID string) (string, error) {
	address, _, err := s.addresses.get(ctx, userID)
	return address, err
}

func (s *Notifications) readAddresses(ctx context.Context, userIDs []string) (map[string]string, error) {
	type record struct {
		UserID string `db:"user_id"`
		Email  string `db:"email"`
	}
	rows, err := selectByKeys[record](ctx, s.core.DB, "SELECT user_id, email FROM customers", "user_id", userIDs)
	found := make(map[string]string, len(rows))
	for _, r := range rows {
		found[r.UserID] = r.Email
	}
	return found, err
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
