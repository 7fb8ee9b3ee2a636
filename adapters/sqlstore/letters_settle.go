package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/intent"
	"millrace/domain/plan"
)

// A letter of a refused act is settled by the use case of the service whose act it is, with a person's word.

// Settler states what became of an act that was refused for good: the use case of the service whose
// act it is.
type Settler func(ctx context.Context, in intent.Intent, outcome string) error

// Settlement is how the letters of one kind of act are settled.
type Settlement struct {
	Outcomes []string
	Settle   Settler
}

// ruling is a person's word on a refused act. It travels in the context of the use case that carries
// it out, so that the letter ends in the same transaction.
type ruling struct {
	item deadletters.Item
	by   plan.Attribution
	said string
}

type rulingKey struct{}

// Settle states what became of a refused act.
func (l *Letters) Settle(ctx context.Context, item deadletters.Item, outcome string, by plan.Attribution) error {
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

// SettleOutcomes are the outcomes that can be stated for a handler's letters.
func (l *Letters) SettleOutcomes(handler string) []string { return l.settlements[handler].Outcomes }
