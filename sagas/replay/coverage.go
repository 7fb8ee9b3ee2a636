package replay

import (
	"encoding/json"
	"fmt"
	"slices"

	"millrace/app/messages"
	saga "millrace/sagas/order"
)

// Coverage says what a set of histories shows: of every version the edges of the saga's table and
// the reasons for which orders end, the ways in which messages go wrong, and what operators did.
type Coverage struct{ seen map[string]bool }

// The ways in which messages go wrong; see Wanted.
const (
	failedAttempt  = "an attempt that failed"
	heldMessage    = "a message before its cause"
	duplicate      = "a message that comes again"
	staleTimer     = "a time-out of a step that was left"
	lateForward    = "a forward message while undoing"
	lateCancel     = "a cancel that comes too late"
	afterEverybody = "a forward message after the end"
)

// Wanted is everything that a corpus must show, in the order of the table. Histories of real runs show all of it:
// what no attack brings to a saga, because the inbox or a participant's tombstone keeps it away, comes to those that
// an operator had to put right, when an answer that was given up comes after all.
func Wanted() []string {
	var all []string
	for _, version := range saga.Versions() {
		def, _ := saga.Of(version)
		for _, e := range def.Table() {
			all = append(all, edgeName(version, e))
		}
		for _, reason := range []string{
			messages.ReasonPaymentDeclined, messages.ReasonPaymentTimeout, messages.ReasonOutOfStock,
			messages.ReasonInventoryTimeout, messages.ReasonCancelledByUser,
		} {
			all = append(all, reasonName(version, reason))
		}
	}
	all = append(all, failedAttempt, heldMessage, duplicate, staleTimer, lateForward, lateCancel, afterEverybody)
	for _, act := range saga.Acts {
		all = append(all, actName(saga.Operated{Act: act}.Name()))
	}
	return all
}

// Staged is the build that histories name which no run has left: the engine has written them, and a test
// has said what the participants say.
const Staged = "corpus"

// OfRun says whether a history comes from a real run.
func (h History) OfRun() bool {
	return len(h.Entries) > 0 && !slices.ContainsFunc(h.Entries, func(e Entry) bool { return e.Build == Staged })
}

func edgeName(version int, e saga.Edge) string {
	return fmt.Sprintf("version %d: edge ", version) + e.From.String() + " " + e.On + " " + e.To.String()
}

func reasonName(version int, reason string) string {
	return fmt.Sprintf("version %d: end for %s", version, reason)
}

// actName is for the type under which an act stands in journals.
func actName(kind string) string { return "an act: " + kind }

// Missing is what of Wanted has not been seen.
func (c *Coverage) Missing() []string {
	return slices.DeleteFunc(Wanted(), func(one string) bool { return c.seen[one] })
}

// Add looks at one history.
func (c *Coverage) Add(h History) {
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	applied := map[string]bool{}
	for _, e := range h.Entries {
		var before, after saga.State
		if json.Unmarshal(e.Before, &before) != nil || json.Unmarshal(e.After, &after) != nil {
			continue // it shows nothing
		}
		switch e.Outcome {
		case Failed:
			c.seen[failedAttempt] = true
		case saga.Held.String():
			c.seen[heldMessage] = true
		case saga.Applied.String():
			on := []string{e.Type}
			for _, early := range before.Held {
				on = append(on, early.Name)
			}
			if def, known := saga.Of(e.Definition); known {
				c.move(def, before.Step, after.Step, on)
			}
			applied[e.Type] = true
			if saga.IsAct(e.Type) {
				c.seen[actName(e.Type)] = true
			}
			if after.Step.Terminal() && after.Reason != "" {
				c.seen[reasonName(e.Definition, after.Reason)] = true
			}
		case saga.Absorbed.String():
			c.absorbed(e.Type, before.Step, applied)
		}
	}
}

func (c *Coverage) absorbed(kind string, step saga.Step, applied map[string]bool) {
	undoing := step.Undoing()
	forward := kind == (messages.PaymentSucceeded{}).Name() || kind == (messages.InventoryReserved{}).Name()
	timer := kind == (saga.TimedOut{Timer: saga.Timer{Name: saga.PaymentTimer}}).Name() ||
		kind == (saga.TimedOut{Timer: saga.Timer{Name: saga.InventoryTimer}}).Name()
	switch {
	case timer:
		c.seen[staleTimer] = true
	case applied[kind]:
		c.seen[duplicate] = true
	case kind == messages.OrderCancelRequested{}.Name() && step.Terminal():
		c.seen[lateCancel] = true
	case forward && undoing:
		c.seen[lateForward] = true
	case forward && step.Terminal():
		c.seen[afterEverybody] = true
	}
}

// move marks what one decision took: the edge that leads back to its step, or a way to another.
func (c *Coverage) move(def saga.Definition, from, to saga.Step, on []string) {
	if from != to {
		c.follow(def, from, to, on)
		return
	}
	for _, e := range def.Table() {
		if e.From == from && e.To == to && e.On == on[0] {
			c.seen[edgeName(def.Version, e)] = true
		}
	}
}

// follow marks a way from one step to another that takes only the named messages.
func (c *Coverage) follow(def saga.Definition, from, to saga.Step, on []string) bool {
	if from == to {
		return true
	}
	for _, e := range def.Table() {
		if e.From == from && e.To != from && slices.Contains(on, e.On) && c.follow(def, e.To, to, on) {
			c.seen[edgeName(def.Version, e)] = true
			return true
		}
	}
	return false
}
