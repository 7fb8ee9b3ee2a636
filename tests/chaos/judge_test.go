package main

import (
	"strings"
	"testing"
	"time"

	"millrace/adapters/psp/simulator"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// sound are books that agree: one order confirmed, one declined, one out of stock with its money back.
func sound() *books {
	order := func(id, user, status, reason string) stored {
		return stored{ID: id, User: user, Status: status, Reason: reason, Total: 100, Currency: "LKR", Created: noon, Updated: noon.Add(time.Second)}
	}
	asked := func(n int, fate, user, id string) placed {
		return placed{n: n, fate: fate, user: user, ids: []string{id}, first: noon, accepted: noon}
	}
	return &books{
		journal: []placed{asked(1, "ok", "a", "ord_1"), asked(2, "declined", "b", "ord_2"), asked(3, "out_of_stock", "c", "ord_3")},
		orders: map[string]stored{
			"ord_1": order("ord_1", "a", "CONFIRMED", ""),
			"ord_2": order("ord_2", "b", "FAILED", "payment_declined"),
			"ord_3": order("ord_3", "c", "FAILED", "out_of_stock"),
		},
		captures: map[string][]simulator.Entry{"ord_1": {{Amount: 100}}, "ord_3": {{Amount: 100}}},
		refunds:  map[string][]simulator.Entry{"ord_3": {{Amount: 100}}},
		letters: []letter{
			{MessageID: "1", Order: "ord_1", To: "a@example.com", Code: 250}, {MessageID: "1", Order: "ord_1", To: "a@example.com", Code: 250},
			{MessageID: "2", Order: "ord_2", To: "b@example.com", Code: 250}, {MessageID: "3", Order: "ord_3", To: "c@example.com", Code: 250},
		},
		reserved: map[string]int64{"SKU-001": 2}, sold: map[string]int64{"SKU-001": 2}, grace: time.Second,
	}
}

func compared(b *books) (*report, []string) {
	r := &report{}
	r.Orders.Ends = map[string]int{}
	return r, b.compare(r)
}

func TestBooksThatAgreeAreSound(t *testing.T) {
	t.Parallel()
	r, wrong := compared(sound())
	if len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
	if r.Orders.Sent != 3 || r.Orders.Acknowledged != 3 || r.Orders.Terminal != 3 || r.Duplicates.Mails != 1 {
		t.Errorf("%+v", r)
	}
}

func TestEveryBrokenPromiseIsNamed(t *testing.T) {
	t.Parallel()
	change := func(id string, how func(*stored)) func(*books) {
		return func(b *books) {
			o := b.orders[id]
			how(&o)
			b.orders[id] = o
		}
	}
	for name, c := range map[string]struct {
		spoil func(*books)
		says  string
	}{
		"an accepted order is gone":        {func(b *books) { delete(b.orders, "ord_1") }, "LOST: order 1"},
		"an order has not ended":           {change("ord_1", func(o *stored) { o.Status = "PAID" }), "has not ended"},
		"it ended as nobody meant it to":   {change("ord_1", func(o *stored) { o.Status, o.Reason = "CANCELLED", "cancelled_by_user" }), "was meant to be ok"},
		"it timed out in calm weather":     {change("ord_2", func(o *stored) { o.Reason = "payment_timeout" }), "was meant to be declined"},
		"one key made two orders":          {func(b *books) { b.orders["ord_9"] = stored{ID: "ord_9", User: "a", Status: "CONFIRMED"} }, "is there 2 times"},
		"one key was answered twice":       {func(b *books) { b.journal[0].ids = append(b.journal[0].ids, "ord_2") }, "answered as [ord_1 ord_2]"},
		"nobody ordered it":                {func(b *books) { b.orders["ord_9"] = stored{ID: "ord_9", User: "x", Status: "CONFIRMED"} }, "ordered by nobody"},
		"a good order was refused":         {func(b *books) { b.journal[0].refused = []string{"400"} }, "was refused"},
		"it was charged twice":             {func(b *books) { b.captures["ord_1"] = append(b.captures["ord_1"], simulator.Entry{Amount: 100}) }, "2 captures"},
		"it was never charged":             {func(b *books) { delete(b.captures, "ord_1") }, "due is 100"},
		"the money was kept":               {func(b *books) { delete(b.refunds, "ord_3") }, "due is 0"},
		"a stranger was charged":           {func(b *books) { b.captures["ord_9"] = []simulator.Entry{{Amount: 1}} }, "no order"},
		"stock leaks":                      {func(b *books) { b.reserved["SKU-001"]++ }, "3 of SKU-001 are reserved"},
		"the last item was sold again":     {func(b *books) { b.reserved["SKU-LOW"], b.sold["SKU-LOW"] = 4, 4 }, "4 were sold"},
		"nobody was told":                  {func(b *books) { b.letters = b.letters[:3] }, "LOST: nobody was told about the end of ord_3"},
		"somebody was told twice":          {func(b *books) { b.letters[1].MessageID = "other" }, "2 Message-IDs"},
		"somebody else was told":           {func(b *books) { b.letters[2].To = "a@example.com" }, "which is b's"},
		"a letter that was refused counts": {func(b *books) { b.letters[3].Code = 451 }, "nobody was told"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sound()
			c.spoil(b)
			if _, wrong := compared(b); !strings.Contains(strings.Join(wrong, "\n"), c.says) {
				t.Errorf("it is not named %q: %q", c.says, wrong)
			}
		})
	}
}

func TestOnlyATimeOutIsForgivenAndOnlyWhileSomethingIsAway(t *testing.T) {
	t.Parallel()
	spoiled := func(reason string, h hurt) int {
		b := sound()
		o := b.orders["ord_1"]
		o.Status, o.Reason = "FAILED", reason
		b.orders["ord_1"], b.hurts = o, []hurt{h}
		b.refunds["ord_1"] = []simulator.Entry{{Amount: 100}}
		_, wrong := compared(b)
		return len(wrong)
	}
	during := hurt{from: noon.Add(-time.Minute), to: noon}
	if n := spoiled("inventory_timeout", during); n != 0 {
		t.Errorf("a time-out while something was away is held against it, %d times", n)
	}
	if n := spoiled("payment_declined", during); n != 1 {
		t.Errorf("a refusal was forgiven: %d", n)
	}
	if n := spoiled("payment_timeout", hurt{from: noon.Add(-time.Hour), to: noon.Add(-time.Minute)}); n != 1 {
		t.Errorf("a time-out long after was forgiven: %d", n)
	}
}

func TestTheJournalOfACallerIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	all := told([]entry{
		{At: 1, N: 7, Op: opInvoke, Fate: "ok", User: "a"}, {At: 2, N: 7, Op: opUnknown, Fate: "ok", User: "a"},
		{At: 3, N: 7, Op: opInvoke, Fate: "ok", User: "a"}, {At: 4, N: 7, Op: opOK, Fate: "ok", User: "a", Order: "ord_1"},
		{At: 5, N: 7, Op: opOK, Fate: "ok", User: "a", Order: "ord_1"}, {At: 6, N: 3, Op: opFail, Fate: "declined", User: "b", Status: 400, Error: "no"},
	})
	if len(all) != 2 || all[0].n != 3 || len(all[0].refused) != 1 || all[1].n != 7 || len(all[1].ids) != 1 || all[1].accepted.UnixMicro() != 4 || all[1].first.UnixMicro() != 1 {
		t.Errorf("%+v", all)
	}
}

func TestTheSameSeedMeansTheSameOrders(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for n := range 500 {
		a, b := wishOf(7, n, ""), wishOf(7, n, "")
		if a.fate.name != b.fate.name || a.cancel != b.cancel || len(a.items) != len(b.items) || a.items[0] != b.items[0] {
			t.Fatalf("order %d is %+v and %+v", n, a, b)
		}
		names[a.fate.name] = true
	}
	for _, f := range fates {
		if f.weight > 0 && !names[f.name] {
			t.Errorf("of 500 orders none is %s", f.name)
		}
	}
}
