package audit

import (
	"database/sql"

	"millrace/app/audit"
	"millrace/domain/order"
)

// entry is one line of a timeline, with what order and saga say of its end.
type entry struct {
	orderID string
	current string // the order's status
	last    sql.NullInt64
	seq     sql.NullInt64
	event   sql.NullString
	status  sql.NullString
}

func scanEntry(r *sql.Rows, e *entry) error {
	return r.Scan(&e.orderID, &e.current, &e.last, &e.seq, &e.event, &e.status)
}

// timelines: what a customer was shown is one walk along the table of statuses, without a gap,
// from OrderCreated to where the order is.
func (p *pass) timelines() error {
	f := p.found.of(audit.TimelineIsAPath)
	c, err := walk(p.ordering, scanEntry, func(e *entry) string { return e.orderID },
		`SELECT o.id, o.status, s.timeline_seq, t.seq, t.event, t.status
		FROM orders o LEFT JOIN sagas s ON s.order_id = o.id LEFT JOIN order_timeline t ON t.order_id = o.id
		ORDER BY o.id {bytewise}, t.seq`)
	if err != nil {
		return err
	}
	defer c.close()
	var before *entry
	for c.valid {
		now := c.row
		if before != nil && before.orderID != now.orderID {
			ends(f, before)
			before = nil
		}
		follows(f, before, &now)
		before = &now
		if err := c.next(); err != nil {
			return err
		}
	}
	if before != nil {
		ends(f, before)
	}
	return nil
}

// follows checks one entry against the one before it, nil at the beginning.
func follows(f *finding, before, e *entry) {
	status, err := order.ParseStatus(e.status.String)
	switch {
	case before == nil && (!e.seq.Valid || e.event.String != "OrderCreated" || status != order.Pending):
		f.broken(e.orderID, "its timeline does not begin with OrderCreated, PENDING")
	case err != nil:
		f.broken(e.orderID, "%s in its timeline: %v", e.event.String, err)
	case before == nil && e.seq.Int64 != 1, before != nil && e.seq.Int64 != before.seq.Int64+1:
		f.broken(e.orderID, "its timeline has a gap before entry %d", e.seq.Int64)
	case before != nil && !leads(before.status.String, status):
		f.broken(e.orderID, "its timeline goes from %s to %s at entry %d", before.status.String, status, e.seq.Int64)
	case status.Terminal() != (e.event.String == "OrderCompleted"):
		f.broken(e.orderID, "its timeline has %s with status %s", e.event.String, status)
	}
}

// leads says whether a timeline may go from one status to the next. PROCESSING has no entry of its
// own, so it may be left out.
func leads(from string, to order.Status) bool {
	s, err := order.ParseStatus(from)
	if err != nil {
		return true // named already
	}
	return !s.Terminal() && s == to || s.CanBecome(to) || s == order.Pending && order.Processing.CanBecome(to)
}

// ends compares the last entry with where the order is.
func ends(f *finding, last *entry) {
	f.checked++
	silent := last.current == order.Processing.String() && last.status.String == order.Pending.String()
	switch {
	case last.status.String != last.current && !silent:
		f.broken(last.orderID, "its timeline ends with %s, the order is %s", last.status.String, last.current)
	case last.last.Valid && last.last.Int64 != last.seq.Int64:
		f.broken(last.orderID, "its timeline has %d entries, the saga wrote %d", last.seq.Int64, last.last.Int64)
	}
}
