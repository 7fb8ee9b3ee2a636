package audit

import "millrace/app/audit"

// inboxes: no consumer has a message twice, and what is parked is kept. That no saga took one twice is
// checked in journals.
func (p *pass) inboxes(of ...*snapshot) error {
	f := p.found.of(audit.InboxUnique)
	for _, s := range of {
		n, err := s.count("SELECT count(*) FROM inbox")
		if err != nil {
			return err
		}
		f.count(n)
		twice, err := rows[struct {
			Consumer  string `db:"consumer"`
			MessageID string `db:"message_id"`
			N         int    `db:"n"`
		}](s, "SELECT consumer, message_id, count(*) AS n FROM inbox GROUP BY consumer, message_id HAVING count(*) > 1")
		if err != nil {
			return err
		}
		for _, t := range twice {
			f.broken(t.MessageID, "%s has it %d times", t.Consumer, t.N)
		}
		if err := p.sequences(s); err != nil {
			return err
		}
	}
	return nil
}

// unclaimed: no saga took a message that its service has no inbox row of, or an operator's act that is not
// in the audit of acts.
func (p *pass) unclaimed() error {
	f := p.found.of(audit.InboxUnique)
	unclaimed, err := rows[string](p.ordering, `SELECT j.message_id FROM saga_journal j
		LEFT JOIN inbox i ON i.message_id = j.message_id AND i.outcome = 'done'
		LEFT JOIN ops_audit a ON a.id = j.message_id AND a.line = 1 AND a.order_id = j.order_id
		WHERE j.outcome <> 'failed' AND j.at >= ? AND i.message_id IS NULL AND a.id IS NULL`, p.inboxSince)
	if err != nil {
		return err
	}
	for _, id := range unclaimed {
		f.broken(id, "a saga took it, and it is not in the inbox")
	}
	return nil
}
