package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/plan"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// Operator is where an operator's acts on sagas are written, and what they are planned with. An act is a
// transaction of ordering; what lies in the participants' databases is read and never changed.
type Operator struct {
	ordering *Core
	of       map[string]*Core // by service

	receivers map[string][]Receiver // by message type
}

// NewOperator makes the store. Cores are by service.
func NewOperator(of map[string]*Core) *Operator {
	return &Operator{ordering: of[messages.Orchestrator], of: of}
}

var (
	_ operator.Store      = (*Operator)(nil)
	_ engine.OperatorWork = (*Operator)(nil)
)

// errGone: the message was deleted by the outbox's retention since the plan was made.
var errGone = fault.New(fault.Conflict, "message_gone", "a message of the plan is not in its outbox any more: plan again")

// Operate runs fn in a transaction of its own.
func (o *Operator) Operate(ctx context.Context, fn func(engine.OperatorTx) error) error {
	return o.ordering.alone(ctx, func(u *unit) error { return fn(&operatorTx{sagaTx{unit: u}, o}) })
}

type operatorTx struct {
	sagaTx

	store *Operator
}

// Record acquires the lease of the order and stages the act's line.
func (t *operatorTx) Record(_ context.Context, r engine.Record) error {
	err := t.acquireLease(r.OrderID, r.By.Plan)
	if errors.Is(err, errLeaseHeld) {
		return engine.ErrLeaseHeld.Because(fmt.Errorf("another apply has the saga in hand, that of %w", err))
	}
	if err != nil {
		return err
	}
	t.record(auditRecord{ID: r.ID, Act: "saga " + r.Act.String(), Target: r.OrderID, OrderID: r.OrderID, Version: r.Version, Detail: r.Detail}, r.By)
	return nil
}

// SendAgain stages copies of outbox rows, each under its own id and with the bytes and headers that it
// had. The copy is a new row of ordering's outbox: the relay finds it as it finds any other. A row that
// still waits for Kafka is left as it is.
func (t *operatorTx) SendAgain(again []engine.Again) error {
	for _, a := range again {
		core := t.store.of[a.Service]
		if core == nil {
			return errGone.Because(fmt.Errorf("there is no service %q", a.Service))
		}
		var read selecter = core.DB.Read
		if core.DB == t.core.DB {
			read = t.tx
		}
		var rows []sentRecord
		if err := read.SelectContext(t.batch.ctx, &rows, core.DB.Rebind(sentColumns+" WHERE id = ?"), a.ID); err != nil {
			return fmt.Errorf("read %s: %w", a.ID, err)
		}
		if len(rows) == 0 {
			return errGone.Because(fmt.Errorf("%s %s of %s", a.Type, a.ID, a.Service))
		}
		if err := t.sendAgain(rows[0]); err != nil {
			return err
		}
	}
	return nil
}

func (t *operatorTx) sendAgain(r sentRecord) error {
	var waiting []bool
	if err := t.tx.SelectContext(t.batch.ctx, &waiting, "SELECT published_at IS NULL FROM outbox WHERE id = ?", r.ID); err != nil {
		return fmt.Errorf("read %s: %w", r.ID, err)
	}
	if len(waiting) > 0 && waiting[0] {
		return nil
	}
	if _, err := t.change("DELETE FROM outbox WHERE id = ?", r.ID); err != nil {
		return fmt.Errorf("send %s again: %w", r.ID, err)
	}
	headers := map[string]string{}
	if err := json.Unmarshal([]byte(r.Headers), &headers); err != nil {
		return fmt.Errorf("headers of %s: %w", r.ID, err)
	}
	t.out = append(t.out, outbox.Record{
		ID: r.ID, AggregateID: r.AggregateID, EventType: r.EventType, Topic: r.Topic, Payload: r.Payload, Headers: headers, CreatedAt: t.now,
	})
	return nil
}

// sentRecord is a row of an outbox.
type sentRecord struct {
	ID          string `db:"id"`
	AggregateID string `db:"aggregate_id"`
	EventType   string `db:"event_type"`
	Topic       string `db:"topic"`
	Payload     []byte `db:"payload"`
	Headers     string `db:"headers"`
}

const sentColumns = "SELECT id, aggregate_id, event_type, topic, payload, headers FROM outbox"

// Begun gives when the acts of a plan were done.
func (o *Operator) Begun(ctx context.Context, seal string) (map[string]time.Time, error) {
	var rows []auditRecord
	db := o.ordering.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(auditColumns+" WHERE a.plan = ? AND a.line = 1"), seal); err != nil {
		return nil, fmt.Errorf("read what the plan has done: %w", sqldb.Classify(err))
	}
	begun := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		begun[r.OrderID] = r.At.UTC()
	}
	return begun, nil
}

// Note keeps what became of an act, and releases the lease of its order.
func (o *Operator) Note(ctx context.Context, actID string, r plan.Result) error {
	return o.ordering.note(ctx, actID, r.Outcome, r.Detail, releaseLeaseOf(actID))
}

// standingRecord is an order with its saga, which is null before its first message.
type standingRecord struct {
	ID         string  `db:"id"`
	Total      int64   `db:"total"`
	Currency   string  `db:"currency"`
	Definition *int    `db:"definition"`
	Step       *string `db:"step"`
	State      *string `db:"state"`
	Version    *int    `db:"version"`
}

// state gives where the saga is. What this build cannot read is a matter of that saga alone: it says why, and
// gives no more than the step, where that can be read.
func (r standingRecord) state() (s saga.State, unreadable string) {
	s = saga.Start()
	if r.State == nil {
		return s, ""
	}
	err := json.Unmarshal([]byte(*r.State), &s)
	if err == nil {
		return s, ""
	}
	s = saga.State{}
	s.Step, _ = saga.ParseStep(*r.Step) // none, where that is not known either
	return s, err.Error()
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// Standings gives where sagas are, what was sent of what they wait for, and what the participants' books
// say. An outbox is read whole, once for many orders.
func (o *Operator) Standings(ctx context.Context, orderIDs []string) (map[string]operator.Standing, error) {
	all := make(map[string]operator.Standing, len(orderIDs))
	for chunk := range slices.Chunk(orderIDs, atOnce) {
		var rows []standingRecord
		if err := o.selectAmong(ctx, o.ordering, &rows, sagasAmong, "o.id", chunk); err != nil {
			return nil, err
		}
		for _, r := range rows {
			state, unreadable := r.state()
			all[r.ID] = operator.Standing{
				Version: value(r.Version), Definition: value(r.Definition), State: state, Unreadable: unreadable, Total: r.Total, Currency: r.Currency,
			}
		}
		if err := o.sentBefore(ctx, all, chunk); err != nil {
			return nil, err
		}
		if err := o.booked(ctx, all, chunk); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// atOnce is how many orders one statement is about.
const atOnce = 1000

const sagasAmong = `SELECT o.id, o.total, o.currency, s.definition, s.step, s.state, s.version
	FROM orders o LEFT JOIN sagas s ON s.order_id = o.id WHERE {among}`

// amongOrders gives a SELECT for a database. Its {among} is that the column is one of a set of orders, its one parameter.
func amongOrders(db *sqldb.DB, query, column string) string {
	return db.Read.Rebind(strings.Replace(query, "{among}", db.Dialect.Among(column, "text"), 1))
}

// selectAmong runs a SELECT of amongOrders on a service's database.
func (o *Operator) selectAmong(ctx context.Context, core *Core, into any, query, column string, orderIDs []string) error {
	db := core.DB
	if err := db.Read.SelectContext(ctx, into, amongOrders(db, query, column), sqldb.Set(db.Dialect, orderIDs)); err != nil {
		return fmt.Errorf("read %s: %w", core.DB.Name, sqldb.Classify(err))
	}
	return nil
}

// sentBefore finds the messages that the steps wait for in the outboxes of whoever has sent them.
func (o *Operator) sentBefore(ctx context.Context, all map[string]operator.Standing, orderIDs []string) error {
	seen := map[string]bool{}
	for _, service := range []string{messages.PaymentService, messages.InventoryService, messages.Orchestrator} { // the copies last
		var rows []sentRecord
		const query = `SELECT id, aggregate_id, event_type, topic FROM outbox WHERE {among}
			AND topic NOT LIKE '%.dlq' AND topic NOT LIKE '%.redrive' ORDER BY seq`
		if err := o.selectAmong(ctx, o.of[service], &rows, query, "aggregate_id", orderIDs); err != nil {
			return err
		}
		for _, r := range rows {
			s, ok := all[r.AggregateID]
			if !ok || seen[r.ID] || !slices.Contains(saga.Awaited(s.State.Step), r.EventType) {
				continue
			}
			seen[r.ID] = true
			s.Again = append(s.Again, engine.Again{ID: r.ID, Type: r.EventType, Topic: r.Topic, Service: service})
			all[r.AggregateID] = s
		}
	}
	return nil
}

// Progress gives where sagas are, and the dead letters of their orders in all services.
func (o *Operator) Progress(ctx context.Context, orderIDs []string) (map[string]operator.Progress, error) {
	all := make(map[string]operator.Progress, len(orderIDs))
	for chunk := range slices.Chunk(orderIDs, atOnce) {
		var rows []standingRecord
		if err := o.selectAmong(ctx, o.ordering, &rows, sagasAmong, "o.id", chunk); err != nil {
			return nil, err
		}
		for _, r := range rows {
			state, unreadable := r.state()
			all[r.ID] = operator.Progress{Version: value(r.Version), State: state, Unreadable: unreadable}
		}
		for _, service := range slices.Sorted(maps.Keys(o.of)) {
			var letters []letterRecord
			if err := o.selectAmong(ctx, o.of[service], &letters,
				"SELECT order_id, service, handler, reason, last_at FROM dead_letters WHERE state = 'waiting' AND {among}", "order_id", chunk); err != nil {
				return nil, err
			}
			for _, l := range letters {
				if p, ok := all[l.OrderID]; ok && l.Service == service { // two services may share a database
					p.Dead = append(p.Dead, operator.Dead{At: l.LastAt.UTC(), Handler: l.Handler, Reason: l.Reason})
					all[l.OrderID] = p
				}
			}
		}
	}
	return all, nil
}
