package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/domain/plan"
)

// Settler states what became of an act that was refused for good: the use case of the service whose
// act it is.
type Settler func(ctx context.Context, in intent.Intent, outcome string) error

// Settlement is how the letters of one kind of act are settled.
type Settlement struct {
	Outcomes []string
	Settle   Settler
}

// Letters are the dead letters of all services, for an operator. They lie in several databases, each
// behind a core; a service's letters are in the one that serves it.
type Letters struct {
	cores       []*Core
	of          map[string]*Core      // by service
	settlements map[string]Settlement // by handler, such as intent_refund
	foresights  func() map[string]Foresight
}

// NewLetters makes the store. Cores are by service; two services may share a database.
func NewLetters(of map[string]*Core, settlements map[string]Settlement) *Letters {
	l := &Letters{of: of, settlements: settlements}
	for _, core := range of {
		if !slices.ContainsFunc(l.cores, func(c *Core) bool { return c.DB == core.DB }) {
			l.cores = append(l.cores, core)
		}
	}
	slices.SortFunc(l.cores, func(a, b *Core) int { return strings.Compare(a.DB.Name, b.DB.Name) })
	return l
}

var _ deadletters.Store = (*Letters)(nil)

// letterRecord is a row of dead_letters.
type letterRecord struct {
	ID        string    `db:"id"`
	MessageID string    `db:"message_id"`
	OrderID   string    `db:"order_id"`
	Service   string    `db:"service"`
	Consumer  string    `db:"consumer"`
	Handler   string    `db:"handler"`
	Type      string    `db:"type"`
	Topic     string    `db:"topic"`
	Partition int32     `db:"partition_no"`
	Offset    int64     `db:"offset_no"`
	Key       []byte    `db:"record_key"`
	Payload   []byte    `db:"payload"`
	Headers   string    `db:"headers"`
	Reason    string    `db:"reason"`
	Error     string    `db:"error"`
	Attempts  int       `db:"attempts"`
	FirstAt   time.Time `db:"first_at"`
	LastAt    time.Time `db:"last_at"`
	State     string    `db:"state"`
	Version   int       `db:"version"`
	Position  int       `db:"position"`
	Redrives  int       `db:"redrives"`
}

const letterColumns = `SELECT id, message_id, order_id, service, consumer, handler, type, topic, partition_no, offset_no, record_key,
	payload, headers, reason, error, attempts, first_at, last_at, state, version, position, redrives FROM dead_letters`

// act says whether the letter is an act's, and not a message's.
func (r letterRecord) act() bool { return r.Topic == "" }

type listedRecord struct {
	letterRecord
	Parked int `db:"parked"`
}

func (r listedRecord) letter() deadletters.Letter {
	return deadletters.Letter{
		ID: r.ID, State: r.State, Version: r.Version, Service: r.Service, Consumer: r.Consumer, Handler: r.Handler, OrderID: r.OrderID,
		Type: r.Type, Reason: r.Reason, Redrives: r.Redrives, Attempts: r.Attempts, Position: r.Position, Parked: r.Parked,
		FirstAt: r.FirstAt.UTC(), LastAt: r.LastAt.UTC(),
	}
}

// listed leaves the bytes out. A parked message counts for the last dead letter in front of it.
const listed = `SELECT d.id, d.message_id, d.order_id, d.service, d.consumer, d.handler, d.type, d.topic, d.partition_no, d.offset_no,
		d.reason, d.error, d.attempts, d.first_at, d.last_at, d.state, d.version, d.position, d.redrives,
		(SELECT count(*) FROM dead_letters p WHERE d.order_id <> '' AND p.consumer = d.consumer AND p.order_id = d.order_id
			AND p.state = 'parked' AND p.position > d.position AND d.state IN ('waiting', 'redriving')
			AND NOT EXISTS (SELECT 1 FROM dead_letters w WHERE w.consumer = d.consumer AND w.order_id = d.order_id
				AND w.state IN ('waiting', 'redriving') AND w.position > d.position AND w.position < p.position)) AS parked
	FROM dead_letters d`

// List gives letters without their bytes, database by database.
func (l *Letters) List(ctx context.Context, f deadletters.Filter) ([]deadletters.Letter, error) {
	where, args := conditions(f)
	all := []deadletters.Letter{}
	for _, core := range l.cores {
		var rows []listedRecord
		db := core.DB.Read
		if err := db.SelectContext(ctx, &rows, db.Rebind(listed+where+" ORDER BY d.consumer, d.order_id, d.position, d.first_at, d.id"), args...); err != nil {
			return nil, fmt.Errorf("list dead letters: %w", sqldb.Classify(err))
		}
		for _, r := range rows {
			all = append(all, r.letter())
		}
	}
	return all, nil
}

func conditions(f deadletters.Filter) (string, []any) {
	var words []string
	var args []any
	for _, c := range []struct{ column, value string }{
		{"id", f.ID}, {"state", f.State}, {"service", f.Service}, {"handler", f.Handler},
		{"reason", f.Reason}, {"order_id", f.OrderID}, {"type", f.Type},
	} {
		if c.value != "" {
			words, args = append(words, "d."+c.column+" = ?"), append(args, c.value)
		}
	}
	if !f.Since.IsZero() {
		words, args = append(words, "d.last_at >= ?"), append(args, f.Since.UTC().Truncate(time.Microsecond))
	}
	if !f.Until.IsZero() {
		words, args = append(words, "d.last_at < ?"), append(args, f.Until.UTC().Truncate(time.Microsecond))
	}
	if len(words) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(words, " AND "), args
}

// Show gives everything about one letter. It fails with deadletters.ErrNoLetter.
func (l *Letters) Show(ctx context.Context, id string) (deadletters.Whole, error) {
	for _, core := range l.cores {
		var rows []letterRecord
		db := core.DB.Read
		if err := db.SelectContext(ctx, &rows, db.Rebind(letterColumns+" WHERE id = ?"), id); err != nil {
			return deadletters.Whole{}, fmt.Errorf("show dead letter: %w", sqldb.Classify(err))
		}
		if len(rows) > 0 {
			return show(ctx, core, rows[0])
		}
	}
	return deadletters.Whole{}, deadletters.ErrNoLetter
}

func show(ctx context.Context, core *Core, r letterRecord) (deadletters.Whole, error) {
	w := deadletters.Whole{
		Letter: listedRecord{letterRecord: r}.letter(), MessageID: r.MessageID, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Key: r.Key, Payload: r.Payload, Headers: map[string]string{}, Error: r.Error, Behind: []deadletters.Letter{}, Log: []deadletters.Line{},
	}
	if err := json.Unmarshal([]byte(r.Headers), &w.Headers); err != nil {
		w.Headers = map[string]string{"unreadable": r.Headers}
	}
	db := core.DB.Read
	var behind []listedRecord
	if err := db.SelectContext(ctx, &behind, db.Rebind(listed+" WHERE d.consumer = ? AND d.order_id = ? AND d.order_id <> '' AND d.position > ? AND d."+open+
		" ORDER BY d.position"), r.Consumer, r.OrderID, r.Position); err != nil {
		return w, fmt.Errorf("show what waits behind it: %w", sqldb.Classify(err))
	}
	for _, b := range behind {
		w.Behind = append(w.Behind, b.letter())
		if b.State == deadletters.Parked {
			w.Parked++
		}
	}
	var lines []struct {
		At     time.Time `db:"at"`
		Act    string    `db:"act"`
		Actor  string    `db:"actor"`
		Reason string    `db:"reason"`
	}
	if err := db.SelectContext(ctx, &lines, db.Rebind("SELECT at, act, actor, reason FROM dead_letter_log WHERE letter_id = ? ORDER BY version"), r.ID); err != nil {
		return w, fmt.Errorf("show its history: %w", sqldb.Classify(err))
	}
	for _, line := range lines {
		w.Log = append(w.Log, deadletters.Line{At: line.At.UTC(), Act: line.Act, Actor: line.Actor, Reason: line.Reason})
	}
	return w, nil
}

// Redrive sends a letter again, or lets an act that was refused be tried again.
func (l *Letters) Redrive(ctx context.Context, item deadletters.Item, by deadletters.Act) error {
	return l.with(ctx, item, func(u *unit, r *letterRecord) error {
		if r.State != deadletters.Waiting && r.State != deadletters.Redriving {
			return deadletters.ErrChanged
		}
		u.recordLetter(r, deadletters.ActRedrive, by)
		if !r.act() {
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
func (l *Letters) Discard(ctx context.Context, item deadletters.Item, by deadletters.Act) error {
	return l.with(ctx, item, func(u *unit, r *letterRecord) error {
		if r.State != deadletters.Waiting {
			return deadletters.ErrChanged
		}
		u.recordLetter(r, deadletters.ActDiscard, by)
		if err := u.end(r, deadletters.Discarded, 0, "discard", by); err != nil {
			return err
		}
		if !r.act() {
			return u.advance(r.Consumer, r.OrderID)
		}
		_, err := u.change("UPDATE intents SET state = 'discarded', version = version + 1 WHERE id = ? AND state = 'dead'", r.MessageID)
		return err
	})
}

// actOf is the id of an act on a letter as it was planned.
func actOf(letterID, action string, version int) string {
	return messages.DerivedID(letterID, "dlq."+action, version)
}

// recordLetter stages the act's line of the audit. It comes before what changes the letter.
func (u *unit) recordLetter(r *letterRecord, action string, by deadletters.Act) {
	u.record(auditRecord{
		ID: actOf(r.ID, action, r.Version), Act: "dlq " + action, Target: r.ID, OrderID: r.OrderID, Version: r.Version, Detail: r.Handler + ": " + r.Reason,
	}, by)
}

// Begun gives the letters of a service that the plan of an act has acted on: the audit says so.
func (l *Letters) Begun(ctx context.Context, service string, by deadletters.Act) ([]string, error) {
	core, err := l.core(service)
	if err != nil {
		return nil, err
	}
	var ids []string
	db := core.DB.Read
	if err := db.SelectContext(ctx, &ids, db.Rebind("SELECT target FROM ops_audit WHERE plan = ? AND line = 1"), by.Plan); err != nil {
		return nil, fmt.Errorf("read what the plan has done: %w", sqldb.Classify(err))
	}
	return ids, nil
}

// Note keeps what became of an act on a letter.
func (l *Letters) Note(ctx context.Context, item deadletters.Item, action string, _ deadletters.Act, r plan.Result) error {
	core, err := l.core(item.Service)
	if err != nil {
		return err
	}
	return core.note(ctx, actOf(item.ID, action, item.Version), r.Outcome, r.Detail)
}

// end gives a letter its next state.
func (u *unit) end(r *letterRecord, state string, redrives int, act string, by deadletters.Act) error {
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
	if r.OrderID == "" || r.act() {
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

func (l *Letters) core(service string) (*Core, error) {
	core := l.of[service]
	if core == nil {
		return nil, deadletters.ErrNoLetter.Because(fmt.Errorf("there is no service %q", service))
	}
	return core, nil
}

// ruling is a person's word on a refused act. It travels in the context of the use case that carries
// it out, so that the letter ends in the same transaction.
type ruling struct {
	item deadletters.Item
	by   deadletters.Act
	said string
}

type rulingKey struct{}

// Settle states what became of a refused act.
func (l *Letters) Settle(ctx context.Context, item deadletters.Item, outcome string, by deadletters.Act) error {
	core, err := l.core(item.Service)
	if err != nil {
		return err
	}
	settlement, ok := l.settlements[item.Handler]
	if !ok || !slices.Contains(settlement.Outcomes, outcome) {
		return deadletters.ErrUnsettled
	}
	var rows []intentRecord
	if err := core.DB.SelectContext(ctx, &rows, core.DB.Rebind("SELECT "+intentColumns+" FROM intents WHERE id = ? AND state = 'dead'"), item.ID); err != nil {
		return fmt.Errorf("read intent: %w", sqldb.Classify(err))
	}
	if len(rows) == 0 {
		return deadletters.ErrChanged
	}
	in := rows[0].restore()
	ctx = messages.WithCause(ctx, messages.Cause{Seed: in.ID, CausationID: in.Cause, CorrelationID: in.OrderID})
	return settlement.Settle(context.WithValue(ctx, rulingKey{}, ruling{item, by, outcome}), in, outcome)
}

// claimRuling ends the letter that a person's word is about, and opens its act for the settlement in
// the same transaction. Any other work without a message claims nothing.
func (u *unit) claimRuling() error {
	r, ok := u.ctx.Value(rulingKey{}).(ruling)
	if !ok {
		return nil
	}
	letter, err := u.planned(r.item)
	if err != nil {
		return err
	}
	if letter.State != deadletters.Waiting {
		return deadletters.ErrChanged
	}
	n, err := u.change("UPDATE intents SET state = 'open' WHERE id = ? AND state = 'dead'", letter.MessageID)
	if err != nil || n == 0 {
		return cmp.Or(err, error(deadletters.ErrChanged))
	}
	u.ruled = true
	u.recordLetter(letter, deadletters.ActSettle, r.by)
	return u.end(letter, deadletters.Settled, 0, "settle "+r.said, r.by)
}

// Outcomes are those that can be stated for a handler's letters.
func (l *Letters) Outcomes(handler string) []string { return l.settlements[handler].Outcomes }

// Progress gives where letters are now.
func (l *Letters) Progress(ctx context.Context, service string, ids []string) (map[string]deadletters.Progress, error) {
	core, err := l.core(service)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	found := make(map[string]deadletters.Progress, len(ids))
	for chunk := range slices.Chunk(ids, parameters/2) {
		query, args, err := sqlx.In(`SELECT d.id, d.state, d.version, d.redrives, d.reason, d.error, d.topic, coalesce(i.outcome, '') AS outcome,
				CASE WHEN d.state = 'parked' AND NOT EXISTS (SELECT 1 FROM dead_letters r WHERE r.consumer = d.consumer
						AND r.order_id = d.order_id AND r.state = 'redriving')
					AND EXISTS (SELECT 1 FROM dead_letters w WHERE w.consumer = d.consumer AND w.order_id = d.order_id
						AND w.state = 'waiting' AND w.position < d.position) THEN 1 ELSE 0 END AS blocked
			FROM dead_letters d LEFT JOIN inbox i ON i.consumer = d.consumer AND i.message_id = d.message_id WHERE d.id IN (?)`, chunk)
		if err != nil {
			return nil, err
		}
		var rows []struct {
			ID       string `db:"id"`
			State    string `db:"state"`
			Version  int    `db:"version"`
			Redrives int    `db:"redrives"`
			Reason   string `db:"reason"`
			Error    string `db:"error"`
			Topic    string `db:"topic"`
			Outcome  string `db:"outcome"`
			Blocked  int    `db:"blocked"`
		}
		db := core.DB.Read
		if err := db.SelectContext(ctx, &rows, db.Rebind(query), args...); err != nil {
			return nil, fmt.Errorf("look after dead letters: %w", sqldb.Classify(err))
		}
		for _, r := range rows {
			found[r.ID] = deadletters.Progress{
				State: r.State, Version: r.Version, Redrives: r.Redrives, Reason: r.Reason, Error: r.Error,
				// An act's letter is done in the transaction that settles the act.
				Handled: r.State == deadletters.Done && (r.Topic == "" || r.Outcome == "done"), Blocked: r.Blocked == 1,
			}
		}
	}
	return found, nil
}

// Behind gives the messages that are parked behind a letter.
func (l *Letters) Behind(ctx context.Context, item deadletters.Item) ([]deadletters.Letter, error) {
	core, err := l.core(item.Service)
	if err != nil || item.OrderID == "" {
		return nil, err
	}
	var rows []listedRecord
	db := core.DB.Read
	query := listed + " WHERE d.consumer = ? AND d.order_id = ? AND d.state = 'parked' AND d.position > ? ORDER BY d.position"
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), item.Consumer, item.OrderID, item.Position); err != nil {
		return nil, fmt.Errorf("look behind a dead letter: %w", sqldb.Classify(err))
	}
	behind := make([]deadletters.Letter, len(rows))
	for i, r := range rows {
		behind[i] = r.letter()
	}
	return behind, nil
}
