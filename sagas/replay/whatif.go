package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	saga "millrace/sagas/order"
)

// Change is what is different in the path that would have been. Exactly one of Inject, Drop,
// Advance and Reorder is given.
type Change struct {
	At      int                      // the entry behind which Inject comes and from which Advance counts; 0 for the end of the history
	Inject  *messages.Envelope       // one message more
	Drop    int                      // the entry that does not come
	Advance time.Duration            // for how long nothing comes: time-outs within it run out
	Reorder [2]int                   // two entries that change places
	Timers  map[string]time.Duration // for how long a timer of each name runs; for Advance
}

// Path is what a saga would have done.
type Path struct {
	OrderID string          `json:"orderId"`
	Steps   []Step          `json:"steps"`
	State   json.RawMessage `json:"state"` // at its end
	Pending []saga.Timer    `json:"pending"`
}

// Step is one decision of a Path.
type Step struct {
	Was     int    `json:"was"` // entry of the history that brought the message; 0 for one that is in no history
	From    string `json:"from"`
	To      string `json:"to"`
	Changed bool   `json:"changed"` // it was decided otherwise, or is not in the history
	Made
}

// arrival is one input on its way.
type arrival struct {
	was int
	e   Entry
}

// ErrVersion: the history is of a version that this build has no code for.
var ErrVersion = fault.New(fault.Unavailable, "unknown_definition", "this build has no code for the version of the history: decide it with a build that has")

// WhatIf decides a history with one change in it: this is the path that the saga would have
// taken if everybody else had said what they said. Of the options it takes those that choose the
// definition. Nothing is stored or sent. It fails with a *Damage for a history that is not whole,
// and with ErrVersion.
func WhatIf(h History, c Change, o Options) (Path, error) {
	if err := Whole(h); err != nil {
		return Path{}, err
	}
	arrivals, err := c.arrivals(h)
	if err != nil {
		return Path{}, err
	}
	o.Definitions = o.definitions()
	f := follower{options: o, state: saga.Start()}
	p := Path{OrderID: h.Saga.OrderID, Steps: []Step{}}
	for _, a := range arrivals {
		step, err := f.follow(a)
		if err != nil {
			return Path{}, err
		}
		p.Steps = append(p.Steps, step)
		if c.Advance <= 0 || a.was != c.At {
			continue
		}
		for due, runsOut := f.due(a, c); runsOut; due, runsOut = f.due(a, c) {
			if step, err = f.follow(due); err != nil {
				return Path{}, err
			}
			p.Steps = append(p.Steps, step)
		}
	}
	p.State, p.Pending = text(f.state), f.pending()
	return p, nil
}

// arrivals is the history's inputs with the change in them.
func (c *Change) arrivals(h History) ([]arrival, error) {
	var all []arrival
	for _, e := range h.Entries {
		if e.Outcome != Failed {
			all = append(all, arrival{e.Seq, e})
		}
	}
	place := func(seq int) (int, error) {
		i := slices.IndexFunc(all, func(a arrival) bool { return a.was == seq })
		if i < 0 {
			return 0, fmt.Errorf("entry %d is not in the history, or is an attempt that failed", seq)
		}
		return i, nil
	}
	if c.At == 0 && len(all) > 0 {
		c.At = all[len(all)-1].was
	}
	switch {
	case c.Inject != nil:
		i, err := place(c.At)
		if err != nil {
			return nil, err
		}
		m, err := c.Inject.Message()
		if err != nil {
			return nil, fmt.Errorf("the message that is put in: %w", err)
		}
		if m.Order() != h.Saga.OrderID {
			return nil, fmt.Errorf("the message that is put in is of the order %q, not of %s", m.Order(), h.Saga.OrderID)
		}
		more := arrival{0, Entry{OrderID: h.Saga.OrderID, At: all[i].e.At, Definition: all[i].e.Definition, MessageID: c.Inject.EventID, Type: c.Inject.Type, Payload: c.Inject.Data}}
		return slices.Insert(all, i+1, more), nil
	case c.Drop != 0:
		i, err := place(c.Drop)
		if err != nil {
			return nil, err
		}
		return slices.Delete(all, i, i+1), nil
	case c.Reorder != [2]int{}:
		i, errI := place(c.Reorder[0])
		j, errJ := place(c.Reorder[1])
		if err := errors.Join(errI, errJ); err != nil {
			return nil, err
		}
		all[i], all[j] = all[j], all[i]
		return all, nil
	case c.Advance > 0:
		_, err := place(c.At)
		return all, err
	default:
		return nil, errors.New("nothing is changed")
	}
}

// follower walks a saga on.
type follower struct {
	options Options
	state   saga.State
	timers  []running
}

type running struct {
	saga.Timer
	since time.Time
}

func (f *follower) follow(a arrival) (Step, error) {
	in, err := input(a.e, nil)
	if err != nil {
		return Step{}, fmt.Errorf("entry %d: %w", a.was, err)
	}
	decide, ok := f.options.decider(a.e.Definition)
	if !ok {
		return Step{}, ErrVersion.Because(fmt.Errorf("it is %d", f.options.version(a.e.Definition)))
	}
	d, crash := safely(decide, f.state, in)
	if crash != nil {
		return Step{}, fmt.Errorf("%s: %s", a.e.Type, crash.Detail)
	}
	m, err := made(a.e, d)
	if err != nil {
		return Step{}, err
	}
	s := Step{Was: a.was, From: f.state.Step.String(), To: d.State.Step.String(), Made: m}
	s.Changed = a.was == 0 || len(compare(a.e, m, Options{}, false)) > 0
	if t, ok := in.Message.(saga.TimedOut); ok {
		d.ClearTimers = append(slices.Clone(d.ClearTimers), t.Timer)
	}
	f.timers = slices.DeleteFunc(f.timers, func(r running) bool { return slices.Contains(d.ClearTimers, r.Timer) })
	for _, t := range d.SetTimers {
		f.timers = append(f.timers, running{t, a.e.At})
	}
	f.state = d.State
	return s, nil
}

func (f *follower) pending() []saga.Timer {
	all := []saga.Timer{}
	for _, t := range f.timers {
		all = append(all, t.Timer)
	}
	return all
}

// due gives the time-out that runs out first while nothing comes behind an entry; false when there
// is none. One that is taken may set another.
func (f *follower) due(behind arrival, c Change) (arrival, bool) {
	var first arrival
	found := false
	for _, t := range f.timers {
		runs, known := c.Timers[t.Name]
		at := t.since.Add(runs)
		if !known || at.After(behind.e.At.Add(c.Advance)) || found && !at.Before(first.e.At) {
			continue
		}
		m := saga.TimedOut{OrderID: behind.e.OrderID, Timer: t.Timer}
		id := messages.DerivedID(m.OrderID+"/"+t.Name, "timer", t.Entry)
		first, found = arrival{0, Entry{OrderID: m.OrderID, At: at, Definition: behind.e.Definition, MessageID: id, Type: m.Name(), Payload: text(m)}}, true
	}
	return first, found
}
