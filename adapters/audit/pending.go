package audit

import "millrace/app/audit"

// pending: with nothing under way there is no open saga, no timer, no message that waits and no
// act to be done. What waits for a person counts too.
func (p *pass) pending() error {
	if !p.settled {
		return nil
	}
	f := p.found.of(audit.NothingPending)
	f.checked = 4 // databases
	everywhere := []string{
		`SELECT aggregate_id AS subject, event_type || ' is in the outbox, unpublished' AS what FROM outbox WHERE published_at IS NULL`,
		`SELECT aggregate_id AS subject, event_type || ' will never be published: ' || reason AS what FROM outbox_dead`,
		`SELECT id AS subject, CASE state WHEN 'waiting' THEN 'dead letter: ' ELSE 'sent again: ' END || type || ' of ' || order_id || ' at ' || handler || ', ' || reason AS what
			FROM dead_letters WHERE state IN ('waiting', 'redriving') AND topic <> ''`,
		`SELECT message_id AS subject, 'parked behind a dead letter of ' || consumer AS what FROM inbox WHERE outcome = 'parked'`,
	}
	for _, s := range []*snapshot{p.ordering, p.payments, p.inventory, p.notifications} {
		if err := p.waits(f, s, everywhere...); err != nil {
			return err
		}
	}
	if err := p.waits(f, p.ordering,
		`SELECT o.id AS subject, 'the order is ' || o.status || ', its saga ' || coalesce(s.step, 'new') AS what
			FROM orders o LEFT JOIN sagas s ON s.order_id = o.id
			WHERE o.status NOT IN ('CONFIRMED', 'FAILED', 'CANCELLED') OR s.step NOT IN ('confirmed', 'failed', 'cancelled')`,
		`SELECT order_id AS subject, 'its ' || name || ' timer runs' AS what FROM saga_timers`); err != nil {
		return err
	}
	const intents = `SELECT id AS subject, 'to be done: ' || state || CASE last_error WHEN '' THEN '' ELSE ', ' || last_error END AS what
		FROM intents WHERE state NOT IN ('done', 'discarded')`
	if err := p.waits(f, p.payments, intents); err != nil {
		return err
	}
	return p.waits(f, p.notifications, intents)
}

func (p *pass) waits(f *finding, s *snapshot, queries ...string) error {
	for _, query := range queries {
		found, err := rows[struct {
			Subject string `db:"subject"`
			What    string `db:"what"`
		}](s, query)
		if err != nil {
			return err
		}
		for _, w := range found {
			f.suspect(w.Subject, "%s", w.What)
		}
	}
	return nil
}
