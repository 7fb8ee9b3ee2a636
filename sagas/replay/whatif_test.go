package replay_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"millrace/app/messages"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

func TestWhatIfDecidesThePathThatWouldHaveBeen(t *testing.T) {
	t.Parallel()
	sealed, err := messages.Seal("0190b0a0-0000-7000-8000-000000000000", "", time.Now(), cancel)
	if err != nil {
		t.Fatal(err)
	}
	timers := map[string]time.Duration{saga.PaymentTimer: 10 * time.Second, saga.InventoryTimer: 10 * time.Second}
	for name, c := range map[string]struct {
		change replay.Change
		path   string // steps that were changed, and the end
	}{
		"a cancel in the middle":    {replay.Change{At: 2, Inject: &sealed}, "OrderCancelRequested>undoing_inventory InventoryReserved>undoing_inventory =undoing_inventory"},
		"a cancel at the end":       {replay.Change{Inject: &sealed}, "OrderCancelRequested>confirmed =confirmed"},
		"no payment":                {replay.Change{Drop: 2}, "InventoryReserved>awaiting_payment =awaiting_payment"},
		"the other way round":       {replay.Change{Reorder: [2]int{2, 3}}, "InventoryReserved>awaiting_payment PaymentSucceeded>confirmed =confirmed"},
		"nobody pays for a while":   {replay.Change{At: 1, Advance: time.Minute, Timers: timers}, "PaymentTimedOut>undoing_inventory PaymentSucceeded>undoing_inventory InventoryReserved>undoing_inventory =undoing_inventory"},
		"a moment passes":           {replay.Change{At: 1, Advance: time.Second, Timers: timers}, "=confirmed"},
		"the shelf does not answer": {replay.Change{At: 2, Advance: time.Minute, Timers: timers}, "InventoryTimedOut>awaiting_inventory InventoryTimedOut>undoing_inventory InventoryReserved>undoing_inventory =undoing_inventory"},
		"it answers a little late":  {replay.Change{At: 2, Advance: 15 * time.Second, Timers: timers}, "InventoryTimedOut>awaiting_inventory InventoryReserved>confirmed =confirmed"},
	} {
		p, err := replay.WhatIf(newRig(t).hear(created, paid, reserved).history(), c.change, replay.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var told []string
		for _, s := range p.Steps {
			if s.Changed {
				told = append(told, s.On+">"+s.To)
			}
		}
		var end saga.State
		if err := json.Unmarshal(p.State, &end); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(append(told, "="+end.Step.String()), " "); got != c.path {
			t.Errorf("%s: %s, want %s", name, got, c.path)
		}
		if end.Step == saga.AwaitingPayment && len(p.Pending) != 1 || end.Step.Terminal() && len(p.Pending) != 0 {
			t.Errorf("%s: %v is pending", name, p.Pending)
		}
	}
}

func TestWhatIfRefusesAChangeThatMeansNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.failures = 1
	h := r.hear(created, created, paid).history()
	other, err := messages.Seal("0190b0a0-0000-7000-8000-000000000000", "", time.Now(), &messages.RefundPayment{OrderID: "ord_2"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]replay.Change{
		"nothing": {}, "a failed attempt dropped": {Drop: 1}, "an entry that is not there": {Drop: 9}, "behind one that is not there": {At: 9, Advance: time.Hour},
		"another order's message": {Inject: &other}, "no message": {Inject: &messages.Envelope{Type: "Tea"}}, "with one that is not there": {Reorder: [2]int{2, 7}},
	} {
		if _, err := replay.WhatIf(h, c, replay.Options{}); err == nil {
			t.Errorf("%s was decided", name)
		}
	}
	h.Entries = h.Entries[1:]
	if _, err := replay.WhatIf(h, replay.Change{Drop: 2}, replay.Options{}); err == nil {
		t.Error("a damaged history was decided")
	}
}

func TestTwoBuildsPartAtTheFirstEntryThatTheyDecideDifferently(t *testing.T) {
	t.Parallel()
	h := newRig(t).hear(created, cancel, released, refunded).history()
	by := func(o replay.Options) replay.Result {
		o.Decisions = true
		return replay.Replay(h, o)
	}
	later := with(func(in saga.Input, d *saga.Decision) {
		if in.Message.Name() == "InventoryReleased" {
			d.Send = nil
		}
	})
	unlike := with(func(_ saga.Input, d *saga.Decision) { d.State.Reason += "x" }) // differs from what is recorded, too
	if d, parted := replay.Part(by(replay.Options{}), by(replay.Options{})); parted {
		t.Errorf("a build parts from itself at %s", d)
	}
	if d, parted := replay.Part(by(unlike), by(unlike)); parted {
		t.Errorf("a build that differs from the history parts from itself at %s", d)
	}
	if d, parted := replay.Part(by(replay.Options{}), by(later)); !parted || d.Seq != 3 || d.Class != replay.MissingMessage {
		t.Errorf("%t %s", parted, d)
	}
	crashes := with(func(in saga.Input, _ *saga.Decision) {
		if in.Message.Name() == "PaymentRefunded" {
			panic("oh")
		}
	})
	if d, parted := replay.Part(by(replay.Options{}), by(crashes)); !parted || d.Seq != 4 || d.Class != replay.Panicked {
		t.Errorf("%t %s", parted, d)
	}
	if d, parted := replay.Part(by(replay.Options{}), by(replay.Options{Definition: 7})); !parted || d.Seq != 1 || d.Class != replay.NoDefinition {
		t.Errorf("%t %s", parted, d)
	}
}
