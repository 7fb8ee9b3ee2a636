package sqlstore

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
)

// IntentLease is for how long a claimed intent is left to whoever claimed it. When that process dies,
// the next sweep after it finds the intent again; the act's key makes a second try harmless.
const IntentLease = 20 * time.Second

// notEnded says that an intent whose id is given is open. It is not written as the condition of the index of
// open intents: a plan made while that was small would walk over all of it, dead entries too, for every id.
const notEnded = "intents.state NOT IN ('done', 'dead', 'discarded')"

var (
	intentRow = insert("intents", `id text, order_id text, kind text, cause text, trace_parent text, state text, version integer,
		attempts integer, due_at bigint, created_at timestamptz, updated_at timestamptz`, "ON CONFLICT (id) DO NOTHING").
		writes("due_at", "{plus}").returningFirst(1)
	// letterSettled ends the dead letter of an act that was refused before, and is done now.
	letterSettled = update("dead_letters", "state = 'done', version = dead_letters.version + 1",
		"dead_letters.id = v.id AND dead_letters.state = 'redriving'", "id text").allowNoMatch()
	// actLog is letterLog for the letter of an act, whose version is not known here.
	actLog = insert("dead_letter_log", "letter_id text, version text, at timestamptz, act text, actor text, reason text", "ON CONFLICT DO NOTHING").
		writes("version", "(SELECT d.version FROM dead_letters d WHERE d.id = ?)").runLast()
	// refusedLetter is the dead letter of an act. One that is refused again goes back to waiting.
	refusedLetter = insert("dead_letters", `id text, message_id text, order_id text, service text, consumer text, handler text,
		type text, topic text, partition_no integer, offset_no bigint, payload bytea, headers text, reason text, error text,
		attempts integer, first_at timestamptz, last_at timestamptz`,
		`ON CONFLICT (id) DO UPDATE SET state = 'waiting', version = dead_letters.version + 1, reason = excluded.reason,
			error = excluded.error, attempts = excluded.attempts, last_at = excluded.last_at`)
	intentDone = update("intents", "state = 'done', version = intents.version + 1, updated_at = v.updated_at",
		"intents.id = v.id AND intents.version = v.version AND "+notEnded,
		"id text, version integer, updated_at timestamptz")
	// intentClosed ends an intent that another one has made needless. Whoever holds it meets the next version.
	intentClosed = update("intents", "state = 'done', version = intents.version + 1, updated_at = v.updated_at",
		"intents.id = v.id AND "+notEnded+" AND intents.buried = 0", "id text, updated_at timestamptz").allowNoMatch()
)

// intend stages an intent. This process holds it from the start: after the commit it is handed to
// the worker in memory. One that was there before is not, or the act would be done again.
func (u *unit) intend(s *Intents, in intent.Intent) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(u.ctx, carrier)
	in.Cause, in.TraceParent, in.Version, in.Attempts = u.cause.CausationID, carrier["traceparent"], 1, 1
	in.Until = time.Now().Add(IntentLease) // the row's is a little later
	u.stage(intentRow, in.ID, in.OrderID, in.Kind.String(), in.Cause, in.TraceParent, "open",
		in.Version, in.Attempts, IntentLease.Microseconds(), u.now, u.now)
	u.intents = append(u.intents, intended{s, in})
}

func (u *unit) settle(in intent.Intent) {
	u.stage(intentDone, in.ID, in.Version, u.now)
	if in.Buried > 0 && !u.ruled {
		u.stage(letterSettled, in.ID)
		u.stage(actLog, in.ID, in.ID, u.now, "took effect", "", "")
	}
}

// Intents is where a service's open intents are claimed and put back.
type Intents struct {
	core      *Core
	committed chan []intent.Intent
}

// NewIntents makes the store of a service's intents.
func NewIntents(core *Core) *Intents {
	return &Intents{core: core, committed: make(chan []intent.Intent, 1024)}
}

// Committed gives the intents that this process has just committed, held by it already.
func (s *Intents) Committed() <-chan []intent.Intent { return s.committed }

// handOver never blocks: what does not fit is found by the sweep when its lease is over.
func (s *Intents) handOver(intents []intent.Intent) {
	select {
	case s.committed <- intents:
	default:
	}
}

type intentRecord struct {
	ID          string `db:"id"`
	OrderID     string `db:"order_id"`
	Kind        string `db:"kind"`
	Cause       string `db:"cause"`
	TraceParent string `db:"trace_parent"`
	Version     int    `db:"version"`
	Attempts    int    `db:"attempts"`
	Buried      int    `db:"buried"`
}

const intentColumns = "id, order_id, kind, cause, trace_parent, version, attempts, buried"

func (r intentRecord) restore() intent.Intent {
	return intent.Intent{
		ID: r.ID, OrderID: r.OrderID, Kind: intent.RestoreKind(r.Kind), Cause: r.Cause,
		TraceParent: r.TraceParent, Version: r.Version, Attempts: r.Attempts, Buried: r.Buried,
	}
}

// Claim leases up to n intents that are due, the oldest first.
func (s *Intents) Claim(ctx context.Context, n int) ([]intent.Intent, error) {
	d := s.core.DB.Dialect
	query := `UPDATE intents SET version = version + 1, attempts = attempts + 1, updated_at = ` + d.Now() + `, due_at = ` + d.NowPlus("?") + `
		WHERE id IN (SELECT id FROM intents WHERE state = 'open' AND due_at <= ` + d.Now() + ` ORDER BY due_at LIMIT ?` + d.SkipLocked() + `)
		RETURNING ` + intentColumns
	until := time.Now().Add(IntentLease) // the rows' is a little later
	var rows []intentRecord
	if err := s.core.DB.SelectContext(ctx, &rows, s.core.DB.Rebind(query), IntentLease.Microseconds(), n); err != nil {
		return nil, fmt.Errorf("claim intents: %w", sqldb.Classify(err))
	}
	claimed := make([]intent.Intent, len(rows))
	for i, r := range rows {
		claimed[i] = r.restore()
		claimed[i].Until = until
	}
	return claimed, nil
}

// RenewLease renews the lease of an intent where less than atLeast is left of it, or where the database has not taken writes
// lately: an act that cannot be written down would be done again.
func (s *Intents) RenewLease(ctx context.Context, in intent.Intent, atLeast time.Duration) error {
	if time.Until(in.Until) >= atLeast && s.core.Circuit.Closed() {
		return nil
	}
	return s.core.Circuit.Guard(ctx, func() error {
		query := "UPDATE intents SET due_at = " + s.core.DB.Dialect.NowPlus("?") + " WHERE id = ? AND version = ? AND state = 'open'"
		result, err := s.core.DB.ExecContext(ctx, s.core.DB.Rebind(query), IntentLease.Microseconds(), in.ID, in.Version)
		if err != nil {
			return fmt.Errorf("renew the lease of intent %s: %w", in.ID, sqldb.Classify(err))
		}
		if n, err := result.RowsAffected(); err == nil && n == 0 {
			return ErrStale.Because(fmt.Errorf("intent %s has been claimed or settled since", in.ID))
		}
		return nil
	})
}

// Postpone gives an intent back, due after a while.
func (s *Intents) Postpone(ctx context.Context, in intent.Intent, after time.Duration, cause error) error {
	d := s.core.DB.Dialect
	return s.end(ctx, "due_at = "+d.NowPlus("?"), in, cause, after.Microseconds())
}

// Bury ends an intent that was refused for good, and makes it a dead letter, with its copy, in the
// same transaction: an operator has to look.
func (s *Intents) Bury(ctx context.Context, in intent.Intent, cause error) error {
	err := s.core.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		n, err := u.change(`UPDATE intents SET state = 'dead', buried = buried + 1, last_error = ?, updated_at = `+s.core.DB.Dialect.Now()+`
			WHERE id = ? AND version = ? AND `+notEnded, cause.Error(), in.ID, in.Version)
		if err != nil || n == 0 {
			return err // somebody else has it
		}
		name := intentHandler(in.Kind)
		d := messages.DeadLetter{
			ID: in.ID, MessageID: in.ID, OrderID: in.OrderID, Service: s.core.Service, Consumer: name, Handler: name, Type: in.Kind.String(),
			Key: []byte(in.OrderID), Payload: []byte(jsonText(map[string]string{"intent": in.ID, "orderId": in.OrderID, "kind": in.Kind.String()})),
			Headers: map[string]string{"traceparent": in.TraceParent, "causationId": in.Cause},
			Reason:  fault.CodeOf(cause), Error: cause.Error(), Attempts: in.Attempts, FirstAt: u.now, LastAt: u.now,
		}
		u.stage(refusedLetter, d.ID, d.MessageID, d.OrderID, d.Service, d.Consumer, d.Handler, d.Type, d.Topic, 0,
			0, d.Payload, jsonText(d.Headers), d.Reason, d.Error, d.Attempts, u.now, u.now)
		u.stage(actLog, d.ID, d.ID, u.now, "refused", "", d.Reason)
		u.copyOut(d, messages.DerivedID(d.ID, "dead_letter", in.Version))
		return nil
	})
	if err != nil {
		return fmt.Errorf("bury intent %s: %w", in.ID, err)
	}
	return nil
}

// intentHandler names what carries an act out, in metrics and dead letters.
func intentHandler(kind intent.Kind) string { return "intent_" + kind.String() }

func (s *Intents) end(ctx context.Context, set string, in intent.Intent, cause error, args ...any) error {
	query := "UPDATE intents SET " + set + ", last_error = ?, updated_at = " + s.core.DB.Dialect.Now() + " WHERE id = ? AND version = ? AND " + notEnded
	args = append(args, cause.Error(), in.ID, in.Version)
	if _, err := s.core.DB.ExecContext(ctx, s.core.DB.Rebind(query), args...); err != nil {
		return fmt.Errorf("put intent %s back: %w", in.ID, sqldb.Classify(err))
	}
	return nil
}

// Reclaim makes every open intent due. Only a process that is alone on its database may call it,
// at its start: what the process before it held is free.
func (s *Intents) Reclaim(ctx context.Context) error {
	query := "UPDATE intents SET due_at = " + s.core.DB.Dialect.Now() + " WHERE state = 'open'"
	if _, err := s.core.DB.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("reclaim intents: %w", sqldb.Classify(err))
	}
	return nil
}
