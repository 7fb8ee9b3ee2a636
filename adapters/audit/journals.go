package audit

import (
	"database/sql"
	"slices"

	"millrace/app/audit"
	"millrace/app/messages"
)

// step is one entry of a journal with one message that it sent, if any; and the order it is of,
// which may have no journal yet.
type step struct {
	orderID   string
	status    string // of the order
	seq       sql.NullInt64
	kind      sql.NullString // the message's type
	messageID sql.NullString
	outcome   sql.NullString
	after     sql.NullBool   // it moved a saga that had ended
	sent      sql.NullString // type of the message that was sent
	end       sql.NullString // status that it told
	kept      sql.NullBool   // it is in the outbox, or may have been deleted
	archived  int64          // how many entries are in a file; 0 for none
}

func scanStep(r *sql.Rows, s *step) error {
	return r.Scan(&s.orderID, &s.status, &s.seq, &s.kind, &s.messageID, &s.outcome, &s.after, &s.sent, &s.end, &s.kept, &s.archived)
}

// journals walks through every saga's journal: nothing moves after the end, no message is taken
// twice, what was sent is in the outbox, and an order's end was told exactly once. States stay in the
// database, which has to sort the rows: it is asked whether one is an end. Of a journal that is archived
// only what has come since is here: that it told the end stands in its file.
func (p *pass) journals() error {
	c, err := walk(p.telling, scanStep, func(s *step) string { return s.orderID },
		`SELECT o.id, o.status, j.seq, j.type, j.message_id, j.outcome,
			(j.state_before <> j.state_after OR j.sent <> '[]') AND (j.state_before LIKE '%"step":"confirmed"%'
				OR j.state_before LIKE '%"step":"failed"%' OR j.state_before LIKE '%"step":"cancelled"%'),
			e.value ->> 'type', e.value -> 'data' ->> 'status',
			x.id IS NOT NULL OR d.id IS NOT NULL OR j.at < ?, coalesce(a.entries, 0)
		FROM orders o
			LEFT JOIN saga_archives a ON a.order_id = o.id
			LEFT JOIN saga_journal j ON j.order_id = o.id
			LEFT JOIN {each j.sent} ON TRUE
			LEFT JOIN outbox x ON x.id = e.value ->> 'id' AND x.aggregate_id = o.id AND x.event_type = e.value ->> 'type'
			LEFT JOIN outbox_dead d ON d.id = e.value ->> 'id'
		ORDER BY o.id {bytewise}, j.seq`, p.outboxSince)
	if err != nil {
		return err
	}
	defer c.close()
	var of steps
	for c.valid {
		s := c.row
		if s.orderID != of.orderID {
			p.ended(&of)
			of = steps{orderID: s.orderID, status: s.status, archived: s.archived, taken: of.taken[:0]}
		}
		p.stepped(&of, &s)
		if err := c.next(); err != nil {
			return err
		}
	}
	p.ended(&of)
	return nil
}

// steps is what the journal has shown of one order so far.
type steps struct {
	orderID, status string
	archived        int64    // entries
	last            int64    // seq
	taken           []string // ids of the messages that had their effect
	ends            int      // OrderCompleted sent
	told            string   // by the last of them
}

func (p *pass) stepped(of *steps, s *step) {
	if !s.seq.Valid {
		return
	}
	if s.seq.Int64 <= of.archived {
		p.found.of(audit.TerminalAbsorbs).broken(s.orderID, "journal %d was archived, and stands there again", s.seq.Int64)
	}
	if s.after.Bool {
		p.found.of(audit.TerminalAbsorbs).broken(s.orderID, "%s moved the saga after its end (journal %d)", s.kind.String, s.seq.Int64)
	}
	if s.seq.Int64 != of.last && s.outcome.String != "failed" {
		if slices.Contains(of.taken, s.messageID.String) {
			p.found.of(audit.InboxUnique).broken(s.messageID.String, "the saga of %s took it more than once", s.orderID)
		}
		of.taken = append(of.taken, s.messageID.String)
	}
	of.last = s.seq.Int64
	if !s.sent.Valid {
		return
	}
	p.found.of(audit.OutboxMatchesState).count(1)
	if !s.kept.Bool {
		p.found.of(audit.OutboxMatchesState).broken(s.orderID, "%s of journal entry %d is not in the outbox", s.sent.String, s.seq.Int64)
	}
	if s.sent.String == "OrderCompleted" {
		of.ends++
		of.told = s.end.String
	}
}

// ended compares an order's end with what was told of it.
func (p *pass) ended(of *steps) {
	f := p.found.of(audit.OutboxMatchesState)
	terminal := messages.Ended(of.status)
	switch {
	case of.archived > 0 && !terminal:
		f.broken(of.orderID, "the order is %s, and its journal was archived as that of one that has ended", of.status)
	case of.archived > 0 && of.ends > 0:
		f.broken(of.orderID, "OrderCompleted was sent again after its journal was archived")
	case of.archived > 0: // the file has what was sent
		f.count(1)
	case terminal && of.ends == 1 && of.told != of.status:
		f.broken(of.orderID, "the order is %s, OrderCompleted says %s", of.status, of.told)
	case terminal && of.ends != 1, !terminal && of.ends != 0:
		f.broken(of.orderID, "the order is %s, and its saga sent OrderCompleted %d times", of.status, of.ends)
	}
}
