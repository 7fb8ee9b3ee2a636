package e2e

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// redrivenInOneGroup redrives a dead letter at inventory. Payment's answer, which that letter holds, was handled by the
// orchestrator too: neither its inbox nor that of any other group is touched by the redrive. They grow by what the order
// brings on its way on, a message each. It wants a stack that has no other orders.
func redrivenInOneGroup(t *testing.T, s *stack) {
	const sku, group = "SKU-096", "inventory-service.payment.events"
	shelf := s.sqlite(t, "inventory")
	must(t, shelf, "CREATE TRIGGER jammed BEFORE UPDATE ON stock WHEN NEW.sku = '"+sku+"' BEGIN SELECT RAISE(ABORT, 'it is broken'); END")
	id := s.place(t, wish{sku: sku})
	of := "order=" + id
	await(t, soon, "inventory has a dead letter, and the others know all there is", func() bool {
		waiting := s.deadOf(t, of, "state=waiting")
		return len(waiting) == 1 && waiting[0].Handler == "reserve_stock" && len(s.inboxes(t)["orchestrator.payment.events"]) == 1 && s.unsent(t) == 0
	})
	before := s.inboxes(t)
	if len(before) < 4 {
		t.Errorf("only %d groups have an inbox to be compared", len(before))
	}
	file, sha := s.planned(t, of)
	if a := s.apply(t, 2, file, sha); a.FailedAgain != 1 {
		t.Errorf("before it was mended, apply says %+v", a)
	}
	if more := s.inboxes(t).beside(group).grown(t, before.beside(group)); len(more) != 0 {
		t.Errorf("by a redrive that failed the inboxes of others have grown: %v", more)
	}

	must(t, shelf, "DROP TRIGGER jammed")
	file, sha = s.planned(t, of)
	if a := s.apply(t, 0, file, sha); a.Verified != 1 {
		t.Errorf("when it was mended, apply says %+v", a)
	}
	if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
		t.Errorf("the order ended %s %q", o.Status, o.Reason)
	}
	s.mailed(t, id)
	onward := map[string]int{"orchestrator.inventory.events": 1, "order-service.order.events": 1, "notification-service.order.events": 1}
	await(t, time.Minute, "its end is known to all", func() bool {
		now := s.inboxes(t)
		return s.unsent(t) == 0 && len(now["order-service.order.events"]) == 1 && len(now["notification-service.order.events"]) == 1
	})
	now := s.inboxes(t)
	if more := now.beside(group).grown(t, before.beside(group)); !maps.Equal(more, onward) {
		t.Errorf("the inboxes of others have grown by %v, want %v", more, onward)
	}
	if len(before[group]) != 1 || len(now[group]) != 1 {
		t.Errorf("the inbox of the letter's group had %v and has %v", before[group], now[group])
	}
	for message, row := range now[group] {
		if was := before[group][message]; strings.HasPrefix(was, "done ") || !strings.HasPrefix(row, "done ") {
			t.Errorf("the letter's own row was %q and is %q", was, row)
		}
	}
}

// beside leaves a group out.
func (now inboxes) beside(group string) inboxes {
	others := maps.Clone(now)
	delete(others, group)
	return others
}
