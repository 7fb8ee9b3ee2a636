package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"

	"millrace/adapters/sqldb"
	app "millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

var (
	// There is nothing to lock before a payment is there. So a new one, tombstones included, must not
	// meet another: where it does, the unit is run again and sees that one.
	paymentNew = insert("payments",
		"order_id, state, amount, currency, method, lines, provider_id, auth_code, reason, created_at, updated_at", "")
	paymentMoved = update("payments", `state = v.column2, provider_id = v.column3, auth_code = v.column4,
		reason = v.column5, updated_at = v.column6`, "payments.order_id = v.column1", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TIMESTAMPTZ")
)

const paymentColumns = "SELECT order_id, state, amount, currency, method, lines, provider_id, auth_code, reason FROM payments"

// Payments is the payment service's state.
type Payments struct {
	core    *Core
	intents *Intents
}

// NewPayments makes the store.
func NewPayments(core *Core, intents *Intents) *Payments { return &Payments{core, intents} }

// Do runs fn in one transaction; see app/payment.Work.
func (s *Payments) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&paymentTx{u, s.intents, map[string]bool{}}) })
}

// Payment reads one payment outside of any transaction.
func (s *Payments) Payment(ctx context.Context, orderID string) (*payment.Payment, error) {
	var rows []paymentRecord
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(paymentColumns+" WHERE order_id = ?"), orderID); err != nil {
		return nil, fmt.Errorf("read payment: %w", sqldb.Classify(err))
	}
	if len(rows) == 0 {
		return nil, notFound("payment", orderID)
	}
	return rows[0].restore()
}

type paymentTx struct {
	*unit
	intents *Intents
	loaded  map[string]bool // orders whose payment is there, and locked
}

func (t *paymentTx) Payments(_ context.Context, orderIDs ...string) (map[string]*payment.Payment, error) {
	var rows []paymentRecord
	if err := t.in(&rows, paymentColumns+" WHERE order_id IN (?) ORDER BY order_id"+t.core.DB.Dialect.ForUpdate(), orderIDs); err != nil {
		return nil, err
	}
	found := make(map[string]*payment.Payment, len(rows))
	for _, r := range rows {
		p, err := r.restore()
		if err != nil {
			return nil, err
		}
		found[r.OrderID], t.loaded[r.OrderID] = p, true
	}
	return found, nil
}

func (t *paymentTx) Keep(p *payment.Payment) {
	s := p.Snapshot()
	if t.loaded[s.OrderID] {
		t.stage(paymentMoved, s.OrderID, s.State.String(), s.ProviderID, s.AuthCode, s.Reason, t.now)
		return
	}
	t.stage(paymentNew, s.OrderID, s.State.String(), s.Amount.Minor, s.Amount.Currency.String(), s.Method, jsonText(s.Lines),
		s.ProviderID, s.AuthCode, s.Reason, t.now, t.now)
}

func (t *paymentTx) Intend(in intent.Intent) { t.intend(t.intents, in) }

func (t *paymentTx) Settle(in intent.Intent) { t.settle(in) }

type paymentRecord struct {
	OrderID    string `db:"order_id"`
	State      string `db:"state"`
	Amount     int64  `db:"amount"`
	Currency   string `db:"currency"`
	Method     string `db:"method"`
	Lines      string `db:"lines"`
	ProviderID string `db:"provider_id"`
	AuthCode   string `db:"auth_code"`
	Reason     string `db:"reason"`
}

func (r paymentRecord) restore() (*payment.Payment, error) {
	state, err := payment.ParseState(r.State)
	if err != nil {
		return nil, err
	}
	var lines []payment.Line
	if err := json.Unmarshal([]byte(r.Lines), &lines); err != nil {
		return nil, fmt.Errorf("lines of payment %s: %w", r.OrderID, err)
	}
	return payment.Restore(payment.Snapshot{
		OrderID: r.OrderID, State: state, Amount: money.Of(r.Amount, money.RestoreCurrency(r.Currency)), Method: r.Method,
		Lines: lines, ProviderID: r.ProviderID, AuthCode: r.AuthCode, Reason: r.Reason,
	}), nil
}
