package audit

import "millrace/app/audit"

// inbox: no consumer has a message twice, what is parked is kept, and no saga took a message that has no
// row. That none took one twice is checked in journals.
func (p *pass) inbox() error {
	f := p.found.of(audit.InboxUnique)
	for _, s := range []*snapshot{p.ordering, p.payments, p.inventory, p.notifications} {
		n, err := s.count("SELECT count(*) FROM inbox")
		if err != nil {
			return err
		}
		f.checked += n
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
	unclaimed, err := rows[string](p.ordering, `SELECT message_id FROM saga_journal WHERE outcome <> 'failed' AND at >= ?
		EXCEPT SELECT message_id FROM inbox WHERE outcome = 'done'`, p.inboxSince)
	if err != nil {
		return err
	}
	for _, id := range unclaimed {
		f.broken(id, "a saga took it, and it is not in the inbox")
	}
	return nil
}
