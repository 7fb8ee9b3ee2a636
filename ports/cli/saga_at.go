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
// the chain says is of the whole journal. When a timer was due is not in the journal, so those
// that were running then are not shown.
func (p *program) asOf(h audit.History, at string) (audit.History, error) {
	var kept func(audit.Entry) bool
	if seq, err := strconv.Atoi(at); err == nil {
		if seq < 1 || seq > len(h.Journal) {
			return h, fmt.Errorf("--at %d: the journal has the entries 1 to %d", seq, len(h.Journal))
		}
		kept = func(e audit.Entry) bool { return e.Seq <= seq }
	} else {
		then, err := timeOrAge("at", at, p.Now())
		if err != nil {
			return h, errors.New("--at " + at + ": it is an entry's number, a time such as 2026-01-02T15:04:05Z, or an age such as 15m")
		}
		kept = func(e audit.Entry) bool { return !e.At.After(then) }
	}
	h.Journal = slices.DeleteFunc(slices.Clone(h.Journal), func(e audit.Entry) bool { return !kept(e) })
	h.Timers, h.Inside = []audit.Timer{}, json.RawMessage("null")
	h.Saga.State, h.Saga.Status, h.Saga.Reason, h.Saga.Version, h.Saga.Stuck = saga.New.String(), order.Pending.String(), "", len(h.Journal), false
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
