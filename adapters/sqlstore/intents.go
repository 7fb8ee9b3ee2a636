package sqlstore

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"millrace/adapters/failpoint"
	"millrace/adapters/sqldb"
	"millrace/domain/intent"
)

// Lease is for how long a claimed intent is left to whoever claimed it. When that process dies,
// the next sweep after it finds the intent again; the act's key makes a second try harmless.
const Lease = 20 * time.Second

var (
	intentRow = insert("intents",
		"id, order_id, kind, cause, trace_parent, state, version, attempts, due_at, created_at, updated_at",
		"ON CONFLICT (id) DO NOTHING",
		"?", "?", "?", "?", "?", "?", "?", "?", "{plus}", "?", "?")
	intentDone = update("intents", "state = 'done', version = intents.version + 1, updated_at = v.column3",
		"intents.id = v.column1 AND intents.version = v.column2 AND intents.state = 'open'", "TEXT", "INTEGER", "TIMESTAMPTZ")
)

// Intend stages an intent. This process holds it from the start: after the commit it is handed
// to the worker in memory. One that was there before is not, or the act would be done again; nor
// are others of the same unit then, which the sweep finds when their lease is over.
func (u *unit) intend(s *Intents, in intent.Intent) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(u.ctx, carrier)
	in.Cause, in.TraceParent, in.Version, in.Attempts = u.cause.CausationID, carrier["traceparent"], 1, 1
	u.stage(intentRow, in.ID, in.OrderID, in.Kind.String(), in.Cause, in.TraceParent, "open",
		in.Version, in.Attempts, Lease.Microseconds(), u.now, u.now)
	u.after = append(u.after, func() {
		failpoint.Hit(failpoint.AfterIntent, u.core.Service)
		if u.allTook(intentRow) {
			s.handOver(in)
		}
	})
}

func (u *unit) settle(in intent.Intent) { u.stage(intentDone, in.ID, in.Version, u.now) }

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
func (s *Intents) handOver(in intent.Intent) {
	select {
	case s.committed <- []intent.Intent{in}:
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
}

// Claim leases up to n intents that are due, the oldest first.
func (s *Intents) Claim(ctx context.Context, n int) ([]intent.Intent, error) {
	d := s.core.DB.Dialect
	query := `UPDATE intents SET version = version + 1, attempts = attempts + 1, updated_at = ` + d.Now() + `, due_at = ` + d.NowPlus("?") + `
		WHERE id IN (SELECT id FROM intents WHERE state = 'open' AND due_at <= ` + d.Now() + ` ORDER BY due_at LIMIT ?` + d.SkipLocked() + `)
		RETURNING id, order_id, kind, cause, trace_parent, version, attempts`
	var rows []intentRecord
	if err := s.core.DB.SelectContext(ctx, &rows, s.core.DB.Rebind(query), Lease.Microseconds(), n); err != nil {
		return nil, fmt.Errorf("claim intents: %w", sqldb.Classify(err))
	}
	claimed := make([]intent.Intent, len(rows))
	for i, r := range rows {
		claimed[i] = intent.Intent{
			ID: r.ID, OrderID: r.OrderID, Kind: intent.RestoreKind(r.Kind), Cause: r.Cause,
			TraceParent: r.TraceParent, Version: r.Version, Attempts: r.Attempts,
		}
	}
	return claimed, nil
}

// Postpone gives an intent back, due after a while.
func (s *Intents) Postpone(ctx context.Context, in intent.Intent, after time.Duration, cause error) error {
	d := s.core.DB.Dialect
	return s.end(ctx, "due_at = "+d.NowPlus("?"), in, cause, after.Microseconds())
}

// Bury ends an intent that was refused for good. An operator has to look.
func (s *Intents) Bury(ctx context.Context, in intent.Intent, cause error) error {
	return s.end(ctx, "state = 'dead'", in, cause)
}

func (s *Intents) end(ctx context.Context, set string, in intent.Intent, cause error, args ...any) error {
	query := "UPDATE intents SET " + set + ", last_error = ?, updated_at = " + s.core.DB.Dialect.Now() + " WHERE id = ? AND version = ? AND state = 'open'"
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

// Dead counts the intents that were refused for good, by what they were to do.
func (s *Intents) Dead(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		Kind string `db:"kind"`
		N    int    `db:"n"`
	}
	const query = "SELECT kind, count(*) AS n FROM intents WHERE state = 'dead' GROUP BY kind"
	if err := s.core.DB.Read.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("count dead intents: %w", sqldb.Classify(err))
	}
	dead := map[string]int{}
	for _, r := range rows {
		dead["intent_"+r.Kind] = r.N
	}
	return dead, nil
}
