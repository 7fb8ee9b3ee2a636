package order

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

// What version 1 has stored must be read for as long as there is a row of it: these lines are
// never edited, later versions add theirs.
func TestAStoredStateIsReadBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, stored string
		want         State
	}{
		{"before the first message", `{"step":"new","entry":0,"status":"PENDING"}`, Start()},
		{"holding what came early", `{"step":"new","entry":0,"status":"PENDING","held":[{"id":"InventoryReserved","name":"InventoryReserved"},{"id":"PaymentSucceeded","name":"PaymentSucceeded"}]}`,
			after(t, reserved, paid)},
		{"on the way forward", `{"step":"awaiting_inventory","entry":2,"status":"PAID","userId":"usr_1","currency":"LKR","total":2400}`,
			after(t, created, paid)},
		{"waiting for inventory once more", `{"step":"awaiting_inventory","entry":3,"status":"PAID","userId":"usr_1","currency":"LKR","total":2400,"waited":1}`,
			after(t, created, paid, stockLate)},
		{"while undoing", `{"step":"undoing_payment","entry":3,"status":"PROCESSING","userId":"usr_1","currency":"LKR","total":2400,"reason":"payment_timeout"}`,
			after(t, created, payLate, released)},
		{"at the end", `{"step":"cancelled","entry":4,"status":"CANCELLED","userId":"usr_1","currency":"LKR","total":2400,"reason":"cancelled_by_user"}`,
			after(t, created, cancel, released, refunded)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stored, err := json.Marshal(tt.want)
			if err != nil || string(stored) != tt.stored {
				t.Errorf("stored %s (%v), want %s", stored, err, tt.stored)
			}
			var got State
			if err := json.Unmarshal([]byte(tt.stored), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("read %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}

func TestStepsAreAClosedSet(t *testing.T) {
	t.Parallel()
	for _, s := range Steps {
		if got, err := ParseStep(s.String()); err != nil || got != s {
			t.Errorf("ParseStep(%q) = %v, %v", s, got, err)
		}
	}
	for _, name := range []string{"", "NEW", "paid"} {
		if got, err := ParseStep(name); err == nil {
			t.Errorf("ParseStep(%q) = %v, want an error", name, got)
		}
	}
	if err := json.Unmarshal([]byte(`{"step":"lost"}`), &State{}); err == nil {
		t.Error("a state in a step that does not exist was read")
	}
}

// stranger is a message of no catalogue that bears any name, even one that the saga knows.
type stranger string

func (s stranger) Name() string { return string(s) }
func (stranger) Order() string  { return orderID }

// Whatever comes, in whatever order and from whatever state: there is an answer, it is the same
// one twice, and it is the same one for a state that was stored and read in between.
func TestDecideIsTotalAndDeterministic(t *testing.T) {
	t.Parallel()
	messageOf := rapid.Custom(func(t *rapid.T) messages.Message {
		entry := rapid.IntRange(-1, 6).Draw(t, "entry")
		known := append(everyInput(State{Entry: entry}), Input{}, says(stranger("")))
		known = append(known, Input{Message: (*messages.OrderCreated)(nil)}, Input{Message: (*TimedOut)(nil)})
		for _, e := range Table {
			known = append(known, says(stranger(e.On)))
		}
		return rapid.SampledFrom(known).Draw(t, "input").Message
	})
	stateOf := rapid.Custom(func(t *rapid.T) State {
		if rapid.Bool().Draw(t, "from the start") {
			return Start()
		}
		held := rapid.SliceOfN(rapid.SampledFrom([]Early{{"1", paymentSucceeded}, {"2", inventoryReserved}, {"3", orderCreated}, {"4", paymentTimedOut}, {"5", "Tea"}}), 0, 4)
		s := State{
			Step:   rapid.SampledFrom(append([]Step{{}}, Steps...)).Draw(t, "step"),
			Entry:  rapid.IntRange(-1, 6).Draw(t, "entry"),
			Status: rapid.SampledFrom(orders.Statuses).Draw(t, "status"),
			Waited: rapid.IntRange(0, 3).Draw(t, "waited"),
			Reason: rapid.SampledFrom([]string{"", "tea", messages.ReasonCancelledByUser}).Draw(t, "reason"),
		}
		if early := held.Draw(t, "held"); len(early) > 0 {
			s.Held = early
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		s := stateOf.Draw(t, "state")
		for range rapid.IntRange(1, 20).Draw(t, "inputs") {
			in := Input{ID: rapid.StringN(0, 3, -1).Draw(t, "id"), Message: messageOf.Draw(t, "message")}
			by := rapid.SampledFrom(definitions).Draw(t, "version")
			d := by.Decide(s, in)
			if again := by.Decide(s, in); !reflect.DeepEqual(d, again) {
				t.Fatalf("decided %+v, then %+v", d, again)
			}
			if stored, ok := storedAndRead(t, s); ok {
				if again := by.Decide(stored, in); !reflect.DeepEqual(d, again) {
					t.Fatalf("decided %+v, of the stored state %+v", d, again)
				}
			}
			if d.Verdict != Applied && len(d.Send)+len(d.Timeline)+len(d.SetTimers)+len(d.ClearTimers) > 0 {
				t.Fatalf("%s, and yet %+v", d.Verdict, d)
			}
			s = d.State
		}
	})
}

// storedAndRead gives s as the database would give it back; a state in no step cannot be stored.
func storedAndRead(t *rapid.T, s State) (State, bool) {
	if s.Step == (Step{}) {
		return s, false
	}
	stored, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var read State
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	return read, true
}
