package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"

	app "millrace/app/payment"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

var (
	// There is nothing to lock before a payment is there. So a new one, tombstones included, must not
	// meet another: where it does, the unit is run again and sees that one.
	paymentNew = insert("payments", `order_id text, state text, amount bigint, currency text, method text, lines text,
		provider_id text, auth_code text, reason text, created_at timestamptz, updated_at timestamptz`, "")
	paymentMoved = update("payments", `state = v.state, provider_id = v.provider_id, auth_code = v.auth_code,
		reason = v.reason, updated_at = v.updated_at`, "payments.order_id = v.order_id",
		"order_id text, state text, provider_id text, auth_code text, reason text, updated_at timestamptz").lastPerKey()
)

var payments = &loader[string, paymentRecord]{"payments", readPayments}

const paymentColumns = "SELECT order_id, state, amount, currency, method, lines, provider_id, auth_code, reason FROM payments"

// Payments is the payment service's state.
type Payments struct {
	core    *Core
	intents *Intents
	reads   lookup[string, paymentRecord]
}

// NewPayments makes the store.
func NewPayments(core *Core, intents *Intents) *Payments {
	s := &Payments{core: core, intents: intents}
	s.reads.read = s.readAll
	return s
}

// Do runs fn in one transaction; see app/payment.Work.
func (s *Payments) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&paymentTx{u, s.intents}) }, byOrder[paymentRecord]{payments})
}

// Payment reads one payment outside of any transaction.
func (s *Payments) Payment(ctx context.Context, orderID string) (*payment.Payment, error) {
	row, found, err := s.reads.get(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound("payment", orderID)
	}
	return row.restore()
}

func (s *Payments) readAll(ctx context.Context, orderIDs []string) (map[string]paymentRecord, error) {
	rows, err := selectByKeys[paymentRecord](ctx, s.core.DB, paymentColumns, "order_id", orderIDs)
	return paymentsByOrder(rows), err
}

type paymentTx struct {
	*unit
	intents *Intents
}

func (t *paymentTx) Payments(_ context.Context, orderIDs ...string) (map[string]*payment.Payment, error) {
	rows, err := payments.get(t.unit, orderIDs...)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*payment.Payment, len(rows))
	for id, r := range rows {
		if found[id], err = r.restore(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func readPayments(b *batch, orderIDs []string) reading[string, paymentRecord] {
	query := paymentColumns + " WHERE " + b.among("order_id") + " ORDER BY order_id" + b.core.DB.Dialect.ForUpdate()
	return byKey(new([]paymentRecord), func(r paymentRecord) string { return r.OrderID }, query, b.set(orderIDs))
}

func paymentsByOrder(rows []paymentRecord) map[string]paymentRecord {
	found := make(map[string]paymentRecord, len(rows))
	for _, r := range rows {
		found[r.OrderID] = r
	}
	return found
}

// Keep stages a change of a payment that was there, by this transaction's reading or by a unit
// before this one, and a new payment otherwise.
func (t *paymentTx) Keep(p *payment.Payment) {
	r := recordOf(p.Snapshot())
	if _, there := payments.of(t.batch).rows[r.OrderID]; there {
		t.stage(paymentMoved, r.OrderID, r.State, r.ProviderID, r.AuthCode, r.Reason, t.now)
	} else {
		t.stage(paymentNew, r.OrderID, r.State, r.Amount, r.Currency, r.Method, r.Lines, r.ProviderID, r.AuthCode, r.Reason, t.now, t.now)
	}
	payments.put(t.unit, r.OrderID, r)
}

func (t *paymentTx) Intend(in intent.Intent) { t.intend(t.intents, in) }

func (t *paymentTx) Settle(in intent.Intent) { t.settle(in) }

func (t *paymentTx) Close(id string) { t.stage(intentClosed, id, t.now) }

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

func recordOf(s payment.Snapshot) paymentRecord {
	return paymentRecord{
		OrderID: s.OrderID, State: s.State.String(), Amount: s.Amount.Minor, Currency: s.Amount.Currency.String(), Method: s.Method,
		Lines: jsonText(s.Lines), ProviderID: s.ProviderID, AuthCode: s.AuthCode, Reason: s.Reason,
	}
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
