package replay_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/app/messages"
	"millrace/sagas/engine"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

func TestWhatTheEngineWroteIsWholeAndDecidedAgainAsItWas(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*rig{
		"confirmed":       newRig(t).hear(created, paid, reserved),
		"declined":        newRig(t).hear(created, declined),
		"out of stock":    newRig(t).hear(created, paid, shortage, refunded),
		"cancelled early": newRig(t).hear(cancel, created, released, refunded),
		"timed out":       newRig(t).hear(created).fire(saga.PaymentTimer, 1).hear(paid, released, refunded),
		"stale timer":     newRig(t).hear(created, paid).fire(saga.PaymentTimer, 1),
		"repeated":        newRig(t).hear(created, created, paid, paid, reserved, reserved, cancel),
		"open":            newRig(t).hear(created, paid),
	} {
		for _, match := range []replay.Match{replay.Strict, replay.Commands, replay.Terminal} {
			got := replay.Replay(r.history(), replay.Options{Match: match})
			if got.Verdict != replay.OK || got.Entries == 0 {
				t.Errorf("%s, %s: %+v", name, match, got)
			}
		}
	}
}

func TestAFailedAttemptIsAnEntryWithoutEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t).hear(created)
	r.failures = 1
	h := r.hear(paid, paid, reserved).history()
	if len(h.Entries) != 4 || h.Entries[1].Outcome != replay.Failed {
		t.Fatalf("the journal is %+v", h.Entries)
	}
	if got := replay.Replay(h, replay.Options{}); got.Verdict != replay.OK {
		t.Errorf("%+v", got)
	}
	r = newRig(t).hear(created, paid, reserved)
	r.failures = 1
	broken := with(func(_ saga.Input, d *saga.Decision) {
		if d.State.Step == saga.Confirmed {
			d.State.Step = saga.Failed
		}
	})
	broken.Match = replay.Terminal
	if got := replay.Replay(r.hear(reserved).history(), broken); got.Verdict != replay.Diverged {
		t.Errorf("an end before a failed attempt: %+v", got)
	}
}

func TestEngineAndReplayHashAnEntryAlike(t *testing.T) {
	t.Parallel()
	e := engine.Entry{
		OrderID: orderID, Seq: 1, At: time.Date(2026, 1, 2, 15, 4, 5, 6000, time.UTC), Type: "<&>", Payload: []byte(`{"a":"<é>"}`), Before: []byte("{}"), After: []byte("{}"),
		Sent: []engine.Sent{{ID: "1", Type: "RefundPayment", Data: messages.RefundPayment{OrderID: orderID}}}, Timers: engine.Timers{Set: []saga.Timer{{Name: "x", Entry: 1}}},
	}
	want, err := engine.Chain("before", e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var read replay.Entry
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if got, err := replay.Chain("before", read); err != nil || got != want {
		t.Errorf("%s and %s, %v", want, got, err)
	}
}

func TestEveryDivergenceHasItsClassEntryPlaceAndSeverity(t *testing.T) {
	t.Parallel()
	undone := newRig(t).hear(created, cancel, released, refunded).history()
	confirmed := newRig(t).hear(created, paid, reserved).history()
	on := func(name string, change func(d *saga.Decision)) replay.Options {
		return with(func(in saga.Input, d *saga.Decision) {
			if in.Message.Name() == name {
				change(d)
			}
		})
	}
	var clock int64
	cases := map[string]struct {
		h     replay.History
		o     replay.Options
		class replay.Class
		worst replay.Severity
		seq   int
		path  string
	}{
		"two commands swapped": {undone, with(func(_ saga.Input, d *saga.Decision) {
			for i, m := range d.Send {
				switch m := m.(type) {
				case *messages.ReleaseInventory:
					d.Send[i] = &messages.RefundPayment{OrderID: m.OrderID, Reason: m.Reason}
				case *messages.RefundPayment:
					d.Send[i] = &messages.ReleaseInventory{OrderID: m.OrderID, Reason: m.Reason}
				}
			}
		}), replay.OtherMessage, replay.Money, 2, "/sent/0/type"},
		"a refund forgotten":  {undone, on("InventoryReleased", func(d *saga.Decision) { d.Send = nil }), replay.MissingMessage, replay.Money, 3, "/sent/0"},
		"a release forgotten": {undone, on("OrderCancelRequested", func(d *saga.Decision) { d.Send = nil }), replay.MissingMessage, replay.Goods, 2, "/sent/0"},
		"a refund too many": {confirmed, on("InventoryReserved", func(d *saga.Decision) {
			d.Send = append([]messages.Message{&messages.RefundPayment{OrderID: orderID}}, d.Send...)
		}), replay.ExtraMessage, replay.Money, 3, "/sent/0"},
		"another amount": {confirmed, on("InventoryReserved", func(d *saga.Decision) {
			for _, m := range d.Send {
				if told, ok := m.(*messages.OrderCompleted); ok {
					told.Total++
				}
			}
		}), replay.Payload, replay.Money, 3, "/sent/0/data/total"},
		"another reason": {undone, on("InventoryReleased", func(d *saga.Decision) {
			d.Send[0] = &messages.RefundPayment{OrderID: orderID, Reason: "because"}
		}), replay.Payload, replay.Customer, 3, "/sent/0/data/reason"},
		"an amount kept wrongly": {confirmed, on("OrderCreated", func(d *saga.Decision) { d.State.Total *= 2 }), replay.StateDiffers, replay.Money, 1, "/after/total"},
		"another entry count":    {confirmed, on("PaymentSucceeded", func(d *saga.Decision) { d.State.Entry++ }), replay.StateDiffers, replay.Internal, 2, "/after/entry"},
		"another verdict":        {confirmed, on("PaymentSucceeded", func(d *saga.Decision) { d.Verdict = saga.Absorbed }), replay.StateDiffers, replay.Internal, 2, "/outcome"},
		"a timer forgotten":      {confirmed, on("OrderCreated", func(d *saga.Decision) { d.SetTimers = nil }), replay.TimerDiffers, replay.Customer, 1, "/timers/set"},
		"a timer not cleared":    {confirmed, on("PaymentSucceeded", func(d *saga.Decision) { d.ClearTimers = nil }), replay.TimerDiffers, replay.Customer, 2, "/timers/cleared"},
		"another end": {confirmed, on("InventoryReserved", func(d *saga.Decision) {
			d.State.Step, d.State.Reason = saga.Failed, "out_of_stock"
		}), replay.TerminalOutcome, replay.Money, 3, "/after"},
		"another unhappy end": {undone, on("PaymentRefunded", func(d *saga.Decision) { d.State.Step = saga.Failed }), replay.TerminalOutcome, replay.Customer, 4, "/after"},
		"the time of day": {confirmed, on("PaymentSucceeded", func(d *saga.Decision) {
			clock++ // as time.Now would
			d.State.Reason = time.Unix(0, clock).String()
		}), replay.NotDeterministic, replay.Money, 2, "/after/reason"},
		"a panic": {confirmed, on("PaymentSucceeded", func(*saga.Decision) { panic("oh") }), replay.Panicked, replay.Customer, 2, ""},
	}
	for name, c := range cases {
		got := replay.Replay(c.h, c.o)
		first, differs := got.First()
		if got.Verdict != replay.Diverged || !differs || first.Class != c.class || first.Severity != c.worst || first.Seq != c.seq || first.Path != c.path {
			t.Errorf("%s: %s %+v", name, got.Verdict, got.Divergences)
		}
		if !strings.Contains(first.String(), string(c.class)) {
			t.Errorf("%s is shown as %q", name, first)
		}
	}
}

func TestAnotherAddressIsAnotherMessageWhereTheEntryNamesOne(t *testing.T) {
	t.Parallel()
	h := newRig(t).hear(created, cancel).history()
	h.Entries[1].Sent[0].Topic = "inventory.requests"
	got := replay.Replay(rehash(t, h), replay.Options{})
	if first, _ := got.First(); first.Class != replay.OtherMessage || first.Path != "/sent/0/topic" {
		t.Errorf("%+v", got)
	}
	h.Entries[1].Sent[0].Topic = "" // of a build that wrote none
	if got := replay.Replay(rehash(t, h), replay.Options{}); got.Verdict != replay.OK {
		t.Errorf("%+v", got)
	}
}

func TestAMatchLooksOnlyAtWhatItNames(t *testing.T) {
	t.Parallel()
	h := newRig(t).hear(created, cancel, released, refunded).history()
	books := with(func(_ saga.Input, d *saga.Decision) { d.SetTimers, d.State.Entry = nil, 7 })
	says := with(func(_ saga.Input, d *saga.Decision) {
		for i, m := range d.Send {
			if m.Name() == "RefundPayment" {
				d.Send[i] = &messages.RefundPayment{OrderID: orderID, Reason: "other"}
			}
		}
	})
	ends := with(func(_ saga.Input, d *saga.Decision) {
		if d.State.Step == saga.Cancelled {
			d.State.Step = saga.Failed
		}
	})
	for name, c := range map[string]struct {
		o                          replay.Options
		strict, commands, terminal replay.Verdict
	}{
		"books": {books, replay.Diverged, replay.OK, replay.OK},
		"says":  {says, replay.Diverged, replay.Diverged, replay.OK},
		"ends":  {ends, replay.Diverged, replay.Diverged, replay.Diverged},
	} {
		for match, want := range map[replay.Match]replay.Verdict{replay.Strict: c.strict, replay.Commands: c.commands, replay.Terminal: c.terminal} {
			c.o.Match = match
			if got := replay.Replay(h, c.o); got.Verdict != want {
				t.Errorf("%s, %s: %+v", name, match, got)
			}
		}
	}
	says.Match = replay.Strict
	for pointer, want := range map[string]replay.Verdict{
		"/sent/*/data/reason": replay.OK, "/sent": replay.OK, "/sent/0/data/orderId": replay.Diverged, "/se": replay.Diverged, "/after": replay.Diverged,
	} {
		says.Ignore = []string{pointer}
		if got := replay.Replay(h, says); got.Verdict != want {
			t.Errorf("ignoring %s: %+v", pointer, got)
		}
	}
}

func TestWhatCannotBeReadIsNeverOK(t *testing.T) {
	t.Parallel()
	type change = func(h *replay.History)
	cases := map[string]struct {
		change change
		forge  bool // the hashes fit again
		class  replay.Class
		seq    int
	}{
		"no history":          {func(h *replay.History) { h.Entries = nil }, false, replay.MissingHistory, 1},
		"a gap":               {func(h *replay.History) { h.Entries = append(h.Entries[:1:1], h.Entries[2:]...) }, true, replay.MissingHistory, 2},
		"its beginning gone":  {func(h *replay.History) { h.Entries = h.Entries[1:] }, true, replay.MissingHistory, 1},
		"its end gone":        {func(h *replay.History) { h.Entries = h.Entries[:2] }, false, replay.MissingHistory, 3},
		"a payload changed":   {func(h *replay.History) { h.Entries[1].Payload = []byte("{}") }, false, replay.MissingHistory, 2},
		"of another order":    {func(h *replay.History) { h.Entries[1].OrderID = "ord_2" }, true, replay.MissingHistory, 2},
		"a state that jumps":  {func(h *replay.History) { h.Entries[1].Before = h.Entries[1].After }, true, replay.MissingHistory, 2},
		"an end not kept":     {func(h *replay.History) { h.Saga.State = h.Entries[0].After }, true, replay.MissingHistory, 3},
		"an effect of a fail": {func(h *replay.History) { h.Entries[1].Outcome = replay.Failed }, true, replay.MissingHistory, 2},
		"an unknown type":     {func(h *replay.History) { h.Entries[1].Type = "PaymentPondered" }, true, replay.UnknownHistory, 2},
		"an unknown timer": {func(h *replay.History) {
			h.Entries[1].Type, h.Entries[1].Topic = "TeaTimedOut", ""
		}, true, replay.UnknownHistory, 2},
		"a member that today's message has lost": {func(h *replay.History) {
			h.Entries[1].Payload = []byte(strings.Replace(string(h.Entries[1].Payload), `"amount"`, `"fee":3,"amount"`, 1))
		}, true, replay.UnknownHistory, 2},
		"a member that was removed and is needed": {func(h *replay.History) {
			h.Entries[0].Payload = []byte(strings.Replace(string(h.Entries[0].Payload), `"total":2400,`, "", 1))
		}, true, replay.UnknownHistory, 1},
		"another order's message": {func(h *replay.History) {
			h.Entries[1].Payload = []byte(strings.Replace(string(h.Entries[1].Payload), orderID, "ord_2", 1))
		}, true, replay.UnknownHistory, 2},
	}
	for name, c := range cases {
		h := newRig(t).hear(created, paid, reserved).history()
		c.change(&h)
		if c.forge {
			entries := h.Saga.Entries
			h = rehash(t, h)
			h.Saga.Entries = entries
		}
		for _, match := range []replay.Match{replay.Strict, replay.Terminal} {
			got := replay.Replay(h, replay.Options{Match: match})
			first, _ := got.First()
			if got.Verdict != replay.Unreplayable || first.Class != c.class || first.Seq != c.seq || first.Severity != replay.Unknown {
				t.Errorf("%s, %s: %s %+v", name, match, got.Verdict, got.Divergences)
			}
		}
	}
}

func TestAVersionWithoutCodeIsUnreplayable(t *testing.T) {
	t.Parallel()
	h := newRig(t).hear(created).history()
	for name, o := range map[string]replay.Options{
		"a number": {Definition: 99},
		"recorded": {Definition: replay.Recorded, Definitions: map[int]replay.Decide{saga.Version + 1: saga.Decide}},
	} {
		got := replay.Replay(h, o)
		if first, _ := got.First(); got.Verdict != replay.Unreplayable || first.Class != replay.NoDefinition {
			t.Errorf("%s: %+v", name, got)
		}
	}
	newer := replay.Options{Definition: replay.Current, Definitions: map[int]replay.Decide{saga.Version: nil, saga.Version + 1: saga.Decide}}
	if got := replay.Replay(h, newer); got.Verdict != replay.OK || got.Definition != saga.Version+1 {
		t.Errorf("an old history under a new build: %+v", got)
	}
	if _, err := replay.WhatIf(newRig(t).hear(created, paid).history(), replay.Change{Drop: 2}, replay.Options{Definition: 99}); !errors.Is(err, replay.ErrVersion) {
		t.Errorf("what if, without code: %v", err)
	}
}
