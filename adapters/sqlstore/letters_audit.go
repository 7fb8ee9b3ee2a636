package sqlstore

import (
	"context"
	"fmt"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/plan"
)

// What the audit keeps of acts on letters, in the database of the letter's service.

// letterActID is the id of an act on a letter as it was planned.
func letterActID(letterID, action string, version int) string {
	return messages.DerivedID(letterID, "dlq."+action, version)
}

// recordLetter stages the act's line of the audit. It comes before what changes the letter.
func (u *unit) recordLetter(r *letterRecord, action string, by plan.Attribution) {
	u.record(auditRecord{
		ID: letterActID(r.ID, action, r.Version), Act: "dlq " + action, Target: r.ID, OrderID: r.OrderID, Version: r.Version, Detail: r.Handler + ": " + r.Reason,
	}, by)
}

// Begun gives the letters of a service that the plan of an act has acted on: the audit says so.
func (l *Letters) Begun(ctx context.Context, service string, by plan.Attribution) ([]string, error) {
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
func (l *Letters) Note(ctx context.Context, item deadletters.Item, action string, _ plan.Attribution, r plan.Result) error {
	core, err := l.core(item.Service)
	if err != nil {
		return err
	}
	return core.note(ctx, letterActID(item.ID, action, item.Version), r.Outcome, r.Detail)
}
