package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/app/messages"
	"millrace/domain/plan"
)

var auditRow = insert("ops_audit", `id text, line integer, at timestamptz, act text, target text, order_id text, version integer,
	plan text, actor text, reason text, outcome text, detail text`, "ON CONFLICT DO NOTHING")

// auditRecord is a row of ops_audit.
type auditRecord struct {
	ID      string    `db:"id"`
	Line    int       `db:"line"`
	At      time.Time `db:"at"`
	Act     string    `db:"act"`
	Target  string    `db:"target"`
	OrderID string    `db:"order_id"`
	Version int       `db:"version"`
	Plan    string    `db:"plan"`
	Actor   string    `db:"actor"`
	Reason  string    `db:"reason"`
	Outcome string    `db:"outcome"`
	Detail  string    `db:"detail"`
}

const auditColumns = "SELECT a.id, a.line, a.at, a.act, a.target, a.order_id, a.version, a.plan, a.actor, a.reason, a.outcome, a.detail FROM ops_audit a"

func (r auditRecord) attribution() plan.Attribution {
	return plan.Attribution{Actor: r.Actor, Reason: r.Reason, Plan: r.Plan}
}

// record stages the first line of an act, in the act's own transaction.
func (u *unit) record(r auditRecord, by plan.Attribution) {
	u.stage(auditRow, r.ID, max(r.Line, 1), u.now, r.Act, r.Target, r.OrderID, r.Version, by.Plan, by.Actor, by.Reason, r.Outcome, r.Detail)
}

// note writes what became of an act behind its lines, unless the last of them says so already, and does in the
// same transaction what else an outcome brings.
func (c *Core) note(ctx context.Context, actID, outcome, detail string, also ...func(*unit) error) error {
	err := c.alone(messages.WithCause(ctx, messages.Cause{}), func(u *unit) error {
		for _, do := range also {
			if err := do(u); err != nil {
				return err
			}
		}
		var rows []auditRecord
		if err := u.tx.SelectContext(u.batch.ctx, &rows, auditColumns+" WHERE a.id = ? ORDER BY a.line DESC LIMIT 1", actID); err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].Outcome == outcome {
			return nil
		}
		last := rows[0]
		last.Line, last.Outcome, last.Detail = last.Line+1, outcome, detail
		u.record(last, last.attribution())
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the outcome of an act: %w", err)
	}
	return nil
}

// Audit lists the acts of operators that a filter chooses, in all databases, the newest first. The outcome
// of an act is the last that was noted.
func (l *Letters) Audit(ctx context.Context, f audit.RecordFilter) ([]audit.Record, error) {
	conditions, args := []string{"a.line = 1"}, []any{}
	must := func(given bool, condition string, value any) {
		if given {
			conditions, args = append(conditions, condition), append(args, value)
		}
	}
	must(f.OrderID != "", "a.order_id = ?", f.OrderID)
	must(f.Act != "", "a.act LIKE ?", "% "+f.Act)
	must(f.Actor != "", "a.actor = ?", f.Actor)
	must(f.Plan != "", "a.plan = ?", f.Plan)
	must(!f.Since.IsZero(), "a.at >= ?", f.Since.UTC())
	must(!f.Until.IsZero(), "a.at < ?", f.Until.UTC())
	all := []audit.Record{}
	for _, core := range l.cores {
		var rows []struct {
			auditRecord
			Last string `db:"last_outcome"`
			Said string `db:"last_detail"`
		}
		db := core.DB.Read
		query := strings.Replace(auditColumns, " FROM", ", coalesce(o.outcome, '') AS last_outcome, coalesce(o.detail, '') AS last_detail FROM", 1) +
			" LEFT JOIN ops_audit o ON o.id = a.id AND o.line = (SELECT max(m.line) FROM ops_audit m WHERE m.id = a.id) WHERE " + strings.Join(conditions, " AND ")
		if err := db.SelectContext(ctx, &rows, db.Rebind(query), args...); err != nil {
			return nil, fmt.Errorf("list the acts of operators: %w", sqldb.Classify(err))
		}
		for _, r := range rows {
			a := audit.Record{
				At: r.At.UTC(), ID: r.ID, Act: r.Act, Target: r.Target, OrderID: r.OrderID, Version: r.Version,
				Actor: r.Actor, Reason: r.Reason, Plan: r.Plan, Did: r.Detail, Outcome: r.Last,
			}
			if r.Last != "" {
				a.Detail = r.Said
			}
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(x, y audit.Record) int {
		if c := y.At.Compare(x.At); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return all, nil
}
