package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"millrace/app/audit"
	"millrace/domain/order"
	saga "millrace/sagas/order"
)

// asOf gives a history as it was: behind the entry with that number, or at that time or age. What
// the chain says is of the whole journal, and traces and dead letters are those of today. When a timer was
// due is not in the journal, so those that were running then are not shown.
func (p *program) asOf(h audit.History, at string) (audit.History, error) {
	var kept func(audit.Entry) bool
	before := 0 // entries that are in a file
	if h.Archived != nil {
		before = h.Archived.Entries
	}
	if seq, err := strconv.Atoi(at); err == nil {
		if last := before + len(h.Journal); seq < 1 || seq > last {
			return h, fmt.Errorf("--at %d: the journal has the entries 1 to %d", seq, last)
		}
		kept = func(e audit.Entry) bool { return e.Seq <= seq }
	} else {
		then, err := timeOrAge(at, p.Now())
		if err != nil {
			return h, errors.New("--at " + at + ": it is an entry's number, a time such as 2026-01-02T15:04:05Z, or an age such as 15m")
		}
		kept = func(e audit.Entry) bool { return !e.At.After(then) }
	}
	h.Journal = slices.DeleteFunc(slices.Clone(h.Journal), func(e audit.Entry) bool { return !kept(e) })
	if before > 0 && len(h.Journal) == 0 {
		return h, fmt.Errorf("--at %s: the first %d entries were archived, and what was then is in %s: `millrace saga replay` reads it", at, before, h.Archived.File)
	}
	h.Timers, h.Inside = []audit.Timer{}, json.RawMessage("null")
	h.Saga.State, h.Saga.Status, h.Saga.Reason, h.Saga.Version, h.Saga.Stuck = saga.New.String(), order.Pending.String(), "", before+len(h.Journal), false
	h.Saga.EnteredAt = h.Saga.PlacedAt
	for _, e := range h.Journal {
		if err := enter(&h.Saga, e); err != nil {
			return h, err
		}
		h.Inside = e.After
	}
	return h, nil
}

// enter moves what is shown of a saga on by one entry.
func enter(s *audit.Saga, e audit.Entry) error {
	var was, inside saga.State
	if err := errors.Join(json.Unmarshal(e.Before, &was), json.Unmarshal(e.After, &inside)); err != nil {
		return fmt.Errorf("entry %d: its state cannot be read: %w", e.Seq, err)
	}
	if inside.Step.String() != s.State || inside.Entry != was.Entry { // a step can be entered again
		s.EnteredAt = e.At
	}
	s.State, s.Status, s.Reason = inside.Step.String(), inside.Status.String(), inside.Reason
	s.Definition = e.Definition
	return nil
}
